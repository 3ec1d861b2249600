import type { EntryField } from "./check-entry.js";

/** The kinds of registry that an entry of `container_registries` can describe. */
export const registryTypes = ["aws", "azure", "gar", "generic"] as const;
export type RegistryType = (typeof registryTypes)[number];

type EntryBase = {
  /** Unique in its factory: the normalised host, or `type[:region[:profile]]` when it has none. */
  id: string;
  /** The secret that opens the registry. Absent when a principal of the cloud trusts this factory instead. */
  secretName?: string;
  /** How the relay sends blobs: through the service always, also where the registry would send the client elsewhere. */
  relay?: "stream";
};

/** Amazon ECR or ECR Public. `region` is always known: from the entry, else from its host. */
export type AwsEntry = EntryBase & {
  type: "aws";
  host?: string;
  region: string;
  /** Section of the credentials file; `default` when the entry names none. */
  profile?: string;
  /** Instead of a secret: the role that trusts this factory. */
  roleArn?: string;
};

/** Azure Container Registry. With a tenant the broker takes path C (Entra), else path A (the registry's own token service). */
export type AzureEntry = EntryBase & {
  type: "azure";
  host?: string;
  tenantId?: string;
  /** Instead of a secret: the application or managed identity that trusts this factory. It always has a tenant. */
  clientId?: string;
};

/** Google Artifact Registry. Without hosts it covers every Artifact Registry host, and the caller names one. */
export type GarEntry = EntryBase & {
  type: "gar";
  hosts: readonly string[];
  /** Instead of a secret: `projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>`. */
  workloadIdentityProvider?: string;
  /** The account to act as. Without one the token is the federated principal's own. */
  serviceAccount?: string;
};

/** Any registry that speaks the Docker token protocol. */
export type GenericEntry = EntryBase & { type: "generic"; host: string; passThrough: boolean; secretName: string };

export type RegistryEntry = AwsEntry | AzureEntry | GarEntry | GenericEntry;

/** The key of an entry that names its secret, by the entry's type. */
export const secretKeyOf = {
  aws: "aws_creds_secret_name",
  azure: "azure_principal_secret_name",
  gar: "gar_creds_secret_name",
  generic: "generic_secret_name",
} as const satisfies Record<RegistryType, string>;

/** What each field of an entry is called in factory-config.yml. */
export const keyOfField = {
  url: "url",
  region: "region",
  profile: "profile",
  azureTenantId: "azure_tenant_id",
  hosts: "hosts",
  passThrough: "passThrough",
  awsRoleArn: "aws_role_arn",
  azureClientId: "azure_client_id",
  garWorkloadIdentityProvider: "gar_workload_identity_provider",
  garServiceAccount: "gar_service_account",
  relay: "relay",
} as const satisfies Record<EntryField, string>;

/** Every key of an entry that means something; all others are kept and ignored. */
export const knownEntryKeys: readonly string[] = ["type", ...Object.values(keyOfField), ...Object.values(secretKeyOf)];

type Opened = Pick<AwsEntry, "type" | "roleArn"> | Pick<AzureEntry, "type" | "clientId"> | OpenedGar | OpenedGeneric;
type OpenedGar = Pick<GarEntry, "type" | "workloadIdentityProvider" | "serviceAccount">;
type OpenedGeneric = Pick<GenericEntry, "type">;

/** Who opens the registry of a keyless entry, as its cloud calls them; `undefined` when a secret opens it. */
export function principalOf(entry: Opened): string | undefined {
  switch (entry.type) {
    case "aws":
      return entry.roleArn;
    case "azure":
      return entry.clientId;
    case "gar":
      return entry.workloadIdentityProvider && (entry.serviceAccount ?? entry.workloadIdentityProvider);
    case "generic":
      return undefined;
    default:
      return entry satisfies never;
  }
}
