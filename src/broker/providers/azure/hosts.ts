import { type AzureCloud, azureClouds } from "../../../core/azure-clouds.js";
import { acrHost } from "../../../core/cloud-hosts.js";

// A registry can be set to refuse tokens for Azure Resource Manager; then the second audience opens it.
export const registryAudience = "https://containerregistry.azure.net";

/** The cloud of an Azure registry host, or `undefined` when it is not one. */
export function azureCloudOf(host: string): AzureCloud | undefined {
  const registry = acrHost(host);
  return registry === undefined ? undefined : azureClouds[registry.cloud];
}

/** Audiences of the Entra token, in the order in which a registry of the cloud is offered them. */
export function audiencesOf({ resourceManager }: AzureCloud): readonly string[] {
  return [resourceManager, registryAudience];
}

/** Says whether Azure credentials for `registry` may be sent to `host`: the registry itself and its cloud's login. */
export function isAzureHostFor(registry: string, host: string): boolean {
  const cloud = azureCloudOf(registry);
  return cloud !== undefined && (host === registry || host === cloud.loginHost);
}
