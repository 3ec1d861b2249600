import type { AwsEntry, AzureEntry, GarEntry, GenericEntry } from "./entry.js";

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
