import { awsPartitionForm, awsPartitionOf } from "../core/aws-partitions.js";
import type { EntryField, EntryFields, FieldRemark, Registry } from "./check-entry.js";
import type { RegistryType } from "./entry.js";

/** The field that says, by the type of the entry, who opens its registry in the place of a secret. */
export const principalFieldOf = {
  aws: "awsRoleArn",
  azure: "azureClientId",
  gar: "garWorkloadIdentityProvider",
  generic: undefined,
} as const satisfies Record<RegistryType, EntryField | undefined>;

/** The fields that only a keyless entry has. `azureTenantId` is of both kinds. */
export const keylessFieldsOf: Readonly<Record<RegistryType, readonly (keyof EntryFields)[]>> = {
  aws: ["awsRoleArn"],
  azure: ["azureClientId"],
  gar: ["garWorkloadIdentityProvider", "garServiceAccount"],
  generic: [],
};

/**
 * The longest id of a keyless entry. It is the end of the subject of what we sign, of which Google takes 127 characters
 * (`google.subject`), AWS 255 and Entra 600. `subjectOf` has 51 in front.
 */
export const maxKeylessIdLength = 76;

/** A UUID, in either case. */
export const uuidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const rolePattern = new RegExp(`^arn:(${awsPartitionForm}):iam::[0-9]{12}:role/[\\w+=,.@/-]{1,512}$`);
const providerPattern =
  /^projects\/[0-9]{1,20}\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/;
const accountPattern = /^[a-z0-9][a-z0-9-]{0,62}@[a-z0-9](?:[a-z0-9.-]{0,120}[a-z0-9])?\.gserviceaccount\.com$/;

type Principal =
  | { roleArn: string }
  | { clientId: string }
  | { workloadIdentityProvider: string; serviceAccount?: string }
  | Record<never, never>;

/** Checks what stands in the place of a secret, and gives it in the form that an entry has it in. */
export function checkKeyless(
  type: RegistryType,
  fields: EntryFields,
  { hasSecret, registry }: { hasSecret: boolean; registry: Registry | undefined },
): { principal: Principal; problems: FieldRemark[] } {
  const problems: FieldRemark[] = [];
  const field = keylessFieldsOf[type].find((known) => fields[known] !== undefined);
  if (field === undefined) return { principal: {}, problems };
  if (hasSecret) {
    const reason =
      "The entry names a secret as well. Either a secret opens a registry, or a principal that trusts this factory: keep one of the two.";
    problems.push({ field, reason });
  }
  if (registry !== undefined && registry.id.length > maxKeylessIdLength) {
    const reason = `The host is longer than ${maxKeylessIdLength} characters, so Google and others would not take the subject that it makes. Use a secret for this entry.`;
    problems.push({ field: "url", reason });
  }
  return { principal: checkByType(type, fields, registry, problems), problems };
}

function checkByType(
  type: RegistryType,
  fields: EntryFields,
  registry: Registry | undefined,
  problems: FieldRemark[],
): Principal {
  switch (type) {
    case "aws":
      return checkRole(fields, registry, problems);
    case "azure":
      return checkClient(fields, problems);
    case "gar":
      return checkProvider(fields, problems);
    case "generic":
      return {};
    default:
      return type satisfies never;
  }
}

function checkRole(fields: EntryFields, registry: Registry | undefined, problems: FieldRemark[]): Principal {
  const { awsRoleArn } = fields;
  if (awsRoleArn === undefined) return {};
  if (fields.profile !== undefined) {
    problems.push({
      field: "profile",
      reason: "A profile is a section of a secret, and this entry has a role instead.",
    });
  }
  const partition = rolePattern.exec(awsRoleArn)?.[1];
  const region = registry?.type === "aws" ? registry.region : undefined;
  if (partition === undefined) {
    problems.push({ field: "awsRoleArn", reason: "A role looks like arn:aws:iam::123456789012:role/pull." });
  } else if (region !== undefined && awsPartitionOf(region).id !== partition) {
    const reason = `The role is of another partition than the region, which is of ${awsPartitionOf(region).id}.`;
    problems.push({ field: "awsRoleArn", reason });
  }
  return { roleArn: awsRoleArn };
}

function checkClient(fields: EntryFields, problems: FieldRemark[]): Principal {
  const { azureClientId, azureTenantId } = fields;
  if (azureClientId === undefined) return {};
  if (!uuidPattern.test(azureClientId)) {
    const reason = "A client id is a UUID: the application (client) id of an app registration or managed identity.";
    problems.push({ field: "azureClientId", reason });
  }
  if (azureTenantId === undefined) {
    const reason = "An entry with a client id needs the tenant that it signs in to: a UUID or a domain.";
    problems.push({ field: "azureTenantId", reason });
  }
  return { clientId: azureClientId.toLowerCase() };
}

function checkProvider(fields: EntryFields, problems: FieldRemark[]): Principal {
  const { garServiceAccount } = fields;
  const provider = fields.garWorkloadIdentityProvider?.replace(/^(?:https:)?\/\/iam\.googleapis\.com\//, "");
  if (provider === undefined || !providerPattern.test(provider)) {
    const form = "projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>";
    const reason = `A workload identity provider is ${form}, with the number of the project, not its id.`;
    problems.push({ field: "garWorkloadIdentityProvider", reason });
  }
  if (garServiceAccount !== undefined && !accountPattern.test(garServiceAccount)) {
    const reason = "A service account looks like pull@project.iam.gserviceaccount.com.";
    problems.push({ field: "garServiceAccount", reason });
  }
  if (provider === undefined) return {};
  const account = garServiceAccount === undefined ? {} : { serviceAccount: garServiceAccount };
  return { workloadIdentityProvider: provider, ...account };
}
