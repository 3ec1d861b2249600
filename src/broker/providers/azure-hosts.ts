/** The parts of one Azure cloud that a registry login needs. */
export type AzureCloud = {
  /** Where Microsoft Entra takes a service principal's password. */
  loginHost: string;
  /** Audiences of the Entra token, in the order in which a registry is offered them. */
  audiences: readonly [string, ...string[]];
};

// A registry can be set to refuse tokens for Azure Resource Manager; then the second audience opens it.
const registryAudience = "https://containerregistry.azure.net";

// Login hosts as in the clouds' own metadata (https://management.azure.com/metadata/endpoints and its sovereign twins).
const clouds: ReadonlyMap<string, AzureCloud> = new Map([
  ["io", { loginHost: "login.microsoftonline.com", audiences: ["https://management.azure.com", registryAudience] }],
  [
    "us",
    { loginHost: "login.microsoftonline.us", audiences: ["https://management.usgovcloudapi.net", registryAudience] },
  ],
  [
    "cn",
    {
      loginHost: "login.partner.microsoftonline.cn",
      audiences: ["https://management.chinacloudapi.cn", registryAudience],
    },
  ],
]);

const registryHost = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.azurecr\.(io|us|cn)$/;

/** The cloud of an Azure registry host, or `undefined` when it is none. */
export function azureCloudOf(host: string): AzureCloud | undefined {
  const suffix = registryHost.exec(host)?.[1];
  return suffix === undefined ? undefined : clouds.get(suffix);
}

/** Says whether Azure credentials for `registry` may be sent to `host`: the registry itself and its cloud's login. */
export function isAzureHostFor(registry: string, host: string): boolean {
  const cloud = azureCloudOf(registry);
  return cloud !== undefined && (host === registry || host === cloud.loginHost);
}
