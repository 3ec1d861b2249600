import type { Clock } from "../clock.js";
import { type CloudEndpoint, createCloudEndpoint } from "../cloud-endpoint.js";
import type { EndpointRegister } from "../endpoint-register.js";
import { throttledRegistry } from "../registry-v2.js";
import { createJwtSigner } from "../sign-jwt.js";
import type { WebIdentityVerifier } from "../web-identity.js";
import { answerAcr } from "./answer-acr.js";
import { answerEntra, throttledEntra } from "./answer-entra.js";
import { type AzureCloudName, azureCloudOf, azureClouds, registryAudience } from "./azure-clouds.js";
import { EntraDirectory } from "./entra-directory.js";

/** Azure as the broker sees it: Entra's token endpoint and container registries. */
export type StandInAzure = {
  directory: EntraDirectory;
  /** `login.microsoftonline.com`. */
  entra: CloudEndpoint;
  /** The login host of a cloud: `io` is the public one, `us` and `cn` are sovereign. */
  entraOf(cloud: AzureCloudName): CloudEndpoint;
  /** Every registry's tokens have this access claim from now on, whatever was asked for. */
  grant(access: readonly unknown[] | "as asked"): void;
  /** Entra answers AADSTS500011 for this audience from now on. */
  forgetAudience(audience: string): void;
  /**
   * Opens a registry at `<name>.azurecr.io`, or at the whole host given. With `refusesArmTokens` it takes Entra tokens
   * for `https://containerregistry.azure.net` only, as a registry whose ARM audience is disabled.
   */
  addRegistry(nameOrHost: string, options?: { refusesArmTokens?: boolean }): { host: string; endpoint: CloudEndpoint };
};

export function createStandInAzure(
  register: EndpointRegister,
  clock: Clock,
  webIdentities: WebIdentityVerifier,
): StandInAzure {
  const directory = new EntraDirectory(clock);
  const forgotten = new Set<string>();
  let granted: readonly unknown[] | undefined;
  const openEntra = (cloud: AzureCloudName): CloudEndpoint => {
    const { loginHost, armAudience } = azureClouds[cloud];
    const endpoint = createCloudEndpoint({
      name: `Microsoft Entra ${loginHost}`,
      operationOf: (request) => `${request.method} ${request.path.replace(/^\/[^/]+/, "/{tenant}")}`,
      answer: (request) => {
        const audiences = [armAudience, registryAudience].filter((audience) => !forgotten.has(audience));
        return answerEntra(directory, webIdentities, audiences, request);
      },
      throttled: throttledEntra,
    });
    return register.add([loginHost], endpoint);
  };
  const entra = { io: openEntra("io"), us: openEntra("us"), cn: openEntra("cn") };
  return {
    directory,
    entra: entra.io,
    entraOf: (cloud) => entra[cloud],
    forgetAudience: (audience) => {
      forgotten.add(audience);
    },
    grant: (access) => {
      granted = access === "as asked" ? undefined : access;
    },
    addRegistry: (nameOrHost, { refusesArmTokens = false } = {}) => {
      const host = nameOrHost.includes(".") ? nameOrHost : `${nameOrHost}.azurecr.io`;
      const { armAudience } = azureClouds[azureCloudOf(host)];
      const audiences = refusesArmTokens ? [registryAudience] : [armAudience, registryAudience];
      const signer = createJwtSigner(clock);
      const endpoint = createCloudEndpoint({
        name: `Azure registry ${host}`,
        answer: (request) =>
          answerAcr({ directory, host, audiences, signer, access: (access) => granted ?? access }, request),
        throttled: throttledRegistry,
      });
      return { host, endpoint: register.add([host], endpoint) };
    },
  };
}
