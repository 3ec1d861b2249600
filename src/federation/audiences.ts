import { azureClouds } from "../core/azure-clouds.js";
import { acrHost } from "../core/cloud-hosts.js";

/** The client id that AWS programs register for AWS STS. */
export const awsAudience = "sts.amazonaws.com";

/** What Microsoft Entra expects, by the cloud of the registry; of the public cloud when the host is not known yet. */
export function azureAudience(registryHost: string | undefined): string {
  const cloud = registryHost === undefined ? "public" : acrHost(registryHost)?.cloud;
  return azureClouds[cloud ?? "public"].federationAudience;
}

/**
 * What a provider of a workload identity pool expects unless it names audiences of its own: its full resource name.
 * Source: Google Cloud, IAM documentation, "Workload Identity Federation with other identity providers".
 */
export function garAudience(workloadIdentityProvider: string): string {
  return `https://iam.googleapis.com/${workloadIdentityProvider}`;
}
