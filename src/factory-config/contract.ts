import { z } from "zod";
import { Flag, hasNoControls, NextPageToken, noControlsRule, secretNamePattern, Timestamp } from "../http/contract.js";

/** What a section of an AWS credentials file may be called here: no colon, because an entry's id has it as a separator. */
export const profilePattern = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$/;

/** More hosts than one Google project can have use for. */
export const maxHosts = 50;

/** Twice the longest that AWS has. */
export const maxRegionLength = 40;

const maxUrlLength = 300;

export const RegistryTypeName = z
  .enum(["aws", "azure", "gar", "generic"])
  .meta({ id: "RegistryType", description: "The kind of registry: ECR, ACR, Artifact Registry, or any other." });

/** The fields that belong to an entry of a type, besides `type` and `secretName`. */
export const fieldsOfType = {
  aws: ["url", "region", "profile", "awsRoleArn", "relay"],
  azure: ["url", "azureTenantId", "azureClientId", "relay"],
  gar: ["url", "hosts", "garWorkloadIdentityProvider", "garServiceAccount", "relay"],
  generic: ["url", "passThrough", "relay"],
} as const satisfies Record<z.output<typeof RegistryTypeName>, readonly string[]>;

const maxPrincipalLength = 600;

const optionalFields = {
  url: z.string().min(1).max(maxUrlLength).optional().meta({
    description: "The registry's host, without scheme or path: `123456789012.dkr.ecr.us-east-2.amazonaws.com`.",
  }),
  region: z
    .string()
    .min(1)
    .max(maxRegionLength)
    .optional()
    .meta({ description: "aws: the region, when the host does not tell it." }),
  profile: z.string().regex(profilePattern).optional().meta({
    description: "aws: the section of the credentials file; `default` when absent.",
  }),
  azureTenantId: z.string().min(1).max(253).optional().meta({
    description: "azure: the tenant (UUID or domain) that the principal signs in to.",
  }),
  hosts: z.array(z.string().min(1).max(maxUrlLength)).min(1).max(maxHosts).optional().meta({
    description: "gar: the hosts it is for; every Artifact Registry host when absent.",
  }),
  passThrough: z.boolean().optional().meta({
    description: "generic: hand out the stored `user:token` itself, where the operator allows it.",
  }),
  awsRoleArn: z.string().min(1).max(maxPrincipalLength).optional().meta({
    description: "aws, instead of secretName: the role that trusts this factory.",
  }),
  azureClientId: z.string().min(1).max(maxPrincipalLength).optional().meta({
    description: "azure, instead of secretName: the client id of what trusts this factory. Needs azureTenantId.",
  }),
  garWorkloadIdentityProvider: z.string().min(1).max(maxPrincipalLength).optional().meta({
    description:
      "gar, instead of secretName: `projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>`.",
  }),
  garServiceAccount: z.string().min(1).max(maxPrincipalLength).optional().meta({
    description: "gar, beside garWorkloadIdentityProvider: the service account to act as.",
  }),
  relay: z.enum(["stream"]).optional().meta({
    description: "How the relay sends blobs: `stream` always by itself; else it hands on the registry's redirects.",
  }),
};

const secretName = z.string().regex(secretNamePattern).optional().meta({
  description: "The secret that opens the registry. Absent in an entry that needs none (keyless).",
});

/**
 * A registry entry as the `registries` routes take it. One flat object, so that client generators can read it; which
 * fields belong to which type is checked here, whether they fit each other by `entryFromInput`.
 */
export const RegistryEntryInput = z
  .strictObject({ type: RegistryTypeName, secretName, ...optionalFields })
  .superRefine((input, context) => {
    const allowed: readonly string[] = fieldsOfType[input.type];
    for (const field of Object.keys(optionalFields)) {
      if (!(field in input) || allowed.includes(field)) continue;
      const message = `An entry of type ${input.type} has no ${field}. It can have ${allowed.join(", ")}.`;
      context.addIssue({ code: "custom", path: [field], message });
    }
  })
  .meta({ id: "RegistryEntryInput", description: "One entry of container_registries." });

export type RegistryEntryInput = z.output<typeof RegistryEntryInput>;

/** A registry entry as the `registries` routes show it. `url` is the normalised host. */
export const RegistryEntryView = z
  .strictObject({
    id: z.string().meta({ description: "The host, or `type[:region[:profile]]` for an entry without one." }),
    type: RegistryTypeName,
    secretName,
    ...optionalFields,
  })
  .meta({ id: "RegistryEntryView", description: "One entry of container_registries, with its id." });

export type RegistryEntryView = z.output<typeof RegistryEntryView>;

export const ConfigWarning = z
  .object({ at: z.string().meta({ description: "Line and column." }), message: z.string() })
  .meta({ id: "ConfigWarning" });

export const WrittenConfig = z
  .object({
    version: z.int(),
    unchanged: z.boolean().meta({ description: "The document was the current one already: no new version was made." }),
    warnings: z.array(ConfigWarning),
  })
  .meta({ id: "WrittenConfig" });

export const ParsedDocument = z.unknown().meta({
  id: "ParsedDocument",
  description: "The YAML document as JSON: a mapping, or the bare list of entries.",
});

export const FactoryConfig = z
  .object({ version: z.int(), document: ParsedDocument, entries: z.array(RegistryEntryView) })
  .meta({ id: "FactoryConfig" });

export const ConfigVersion = z
  .object({
    version: z.int(),
    current: z.boolean(),
    createdAt: Timestamp,
    createdBy: z.string(),
    reason: z.string().optional(),
    restoredFrom: z.int().optional(),
  })
  .meta({ id: "ConfigVersion" });

export const ConfigVersionList = z
  .object({ items: z.array(ConfigVersion), nextPageToken: NextPageToken })
  .meta({ id: "ConfigVersionList" });

export const WrittenEntry = z
  .object({ entry: RegistryEntryView, configVersion: z.int(), warnings: z.array(ConfigWarning) })
  .meta({ id: "WrittenEntry" });

export const RegistryEntryList = z
  .object({ items: z.array(RegistryEntryView), nextPageToken: NextPageToken })
  .meta({ id: "RegistryEntryList" });

export const Reason = z
  .string()
  .min(1)
  .max(500)
  .refine(hasNoControls, noControlsRule)
  .optional()
  .meta({ description: "Why; kept in the history and the audit." });

export const PublishQuery = z.strictObject({
  allowMissingSecrets: Flag("Take entries whose secret does not exist yet, with a warning."),
  reason: Reason,
});
