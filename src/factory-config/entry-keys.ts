import type { EntryField } from "./check-entry.js";
import type { RegistryType } from "./entry.js";

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
