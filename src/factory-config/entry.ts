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
