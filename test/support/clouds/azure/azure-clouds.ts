/** Login host and Azure Resource Manager's audience of each Azure cloud, by the last label of its registry hosts. */
export const azureClouds = {
  io: { loginHost: "login.microsoftonline.com", armAudience: "https://management.azure.com" },
  us: { loginHost: "login.microsoftonline.us", armAudience: "https://management.usgovcloudapi.net" },
  cn: { loginHost: "login.partner.microsoftonline.cn", armAudience: "https://management.chinacloudapi.cn" },
} as const;

export type AzureCloudName = keyof typeof azureClouds;

/** The registry service's own audience, which a registry takes even when it refuses tokens for ARM. */
export const registryAudience = "https://containerregistry.azure.net";

export function azureCloudOf(registryHost: string): AzureCloudName {
  const suffix = registryHost.split(".").at(-1);
  return suffix === "us" || suffix === "cn" ? suffix : "io";
}
