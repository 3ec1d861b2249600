/**
 * The clouds of Azure: what their registries' hosts end in, and what a sign-in to Microsoft Entra needs there.
 * Source: the clouds' own metadata (/metadata/endpoints of Azure Resource Manager); Microsoft Entra documentation,
 * "Configure an application to trust a managed identity".
 */
export const azureClouds = {
  public: {
    registryDomain: "azurecr.io",
    loginHost: "login.microsoftonline.com",
    resourceManager: "https://management.azure.com",
    federationAudience: "api://AzureADTokenExchange",
  },
  "us-government": {
    registryDomain: "azurecr.us",
    loginHost: "login.microsoftonline.us",
    resourceManager: "https://management.usgovcloudapi.net",
    federationAudience: "api://AzureADTokenExchangeUSGov",
  },
  china: {
    registryDomain: "azurecr.cn",
    loginHost: "login.partner.microsoftonline.cn",
    resourceManager: "https://management.chinacloudapi.cn",
    federationAudience: "api://AzureADTokenExchangeChina",
  },
} as const satisfies Record<
  string,
  {
    registryDomain: string;
    /** Where Microsoft Entra takes the proof of a service principal. */
    loginHost: string;
    /** The audience of Azure Resource Manager. */
    resourceManager: string;
    /** The audience of what another issuer signs for a principal. */
    federationAudience: string;
  }
>;

export type AzureCloudName = keyof typeof azureClouds;
export type AzureCloud = (typeof azureClouds)[AzureCloudName];

export const azureCloudNames = ["public", "us-government", "china"] as const satisfies readonly AzureCloudName[];
