import { type AcrHost, acrHost } from "../../core/cloud-hosts.js";

/** The parts of one Azure cloud that a registry login needs. */
export type AzureCloud = {
  /** Where Microsoft Entra takes a service principal's password. */
  loginHost: string;
  /** Audiences of the Entra token, in the order in which a registry is offered them. */
  audiences: readonly [string, ...string[]];
};

// A registry can be set to refuse tokens for Azure Resource Manager; then the second audience opens it.
const registryAudience = "https://containerregistry.azure.net";

// Login hosts and audiences as in the clouds' own metadata (/metadata/endpoints of Azure Resource Manager).
const clouds: Readonly<Record<AcrHost["cloud"], AzureCloud>> = {
  public: { loginHost: "login.microsoftonline.com", audiences: ["https://management.azure.com", registryAudience] },
  "us-government": {
    loginHost: "login.microsoftonline.us",
    audiences: ["https://management.usgovcloudapi.net", registryAudience],
  },
  china: {
    loginHost: "login.partner.microsoftonline.cn",
    audiences: ["https://management.chinacloudapi.cn", registryAudience],
  },
};

/** The cloud of an Azure registry host, or `undefined` when it is none. */
export function azureCloudOf(host: string): AzureCloud | undefined {
  const registry = acrHost(host);
  return registry === undefined ? undefined : clouds[registry.cloud];
}

/** Says whether Azure credentials for `registry` may be sent to `host`: the registry itself and its cloud's login. */
export function isAzureHostFor(registry: string, host: string): boolean {
  const cloud = azureCloudOf(registry);
  return cloud !== undefined && (host === registry || host === cloud.loginHost);
}
