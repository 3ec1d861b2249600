import type { Clock } from "../clock.js";
import { type CloudEndpoint, createCloudEndpoint } from "../cloud-endpoint.js";
import type { EndpointRegister } from "../endpoint-register.js";
import { throttledRegistry } from "../registry-v2.js";
import { createJwtSigner } from "../sign-jwt.js";
import { answerAcr } from "./answer-acr.js";
import { acrAudiences, answerEntra, throttledEntra } from "./answer-entra.js";
import { EntraDirectory } from "./entra-directory.js";

/** Azure as the broker sees it: Entra's token endpoint and container registries. */
export type StandInAzure = {
  directory: EntraDirectory;
  /** `login.microsoftonline.com`. */
  entra: CloudEndpoint;
  /** The audiences that Entra knows in this tenant. Leave one out to see AADSTS500011. */
  knowAudiences(audiences: readonly (typeof acrAudiences)[number][]): void;
  /** Opens a registry at `<name>.azurecr.io`, or at the whole host given. */
  addRegistry(nameOrHost: string): { host: string; endpoint: CloudEndpoint };
};

export function createStandInAzure(register: EndpointRegister, clock: Clock): StandInAzure {
  const directory = new EntraDirectory(clock);
  let audiences: readonly string[] = acrAudiences;
  const entra = register.add(
    ["login.microsoftonline.com"],
    createCloudEndpoint({
      name: "Microsoft Entra",
      operationOf: (request) => `${request.method} ${request.path.replace(/^\/[^/]+/, "/{tenant}")}`,
      answer: (request) => answerEntra(directory, audiences, request),
      throttled: throttledEntra,
    }),
  );
  return {
    directory,
    entra,
    knowAudiences: (known) => {
      audiences = known;
    },
    addRegistry: (nameOrHost) => {
      const host = nameOrHost.includes(".") ? nameOrHost : `${nameOrHost}.azurecr.io`;
      const signer = createJwtSigner(clock);
      const endpoint = createCloudEndpoint({
        name: `Azure registry ${host}`,
        answer: (request) => answerAcr({ directory, host, signer }, request),
        throttled: throttledRegistry,
      });
      return { host, endpoint: register.add([host], endpoint) };
    },
  };
}
