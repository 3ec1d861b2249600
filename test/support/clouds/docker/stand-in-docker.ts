import type { Clock } from "../clock.js";
import { type CloudEndpoint, createCloudEndpoint, jsonReply } from "../cloud-endpoint.js";
import type { EndpointRegister } from "../endpoint-register.js";
import { throttledRegistry } from "../registry-v2.js";
import { createJwtSigner } from "../sign-jwt.js";
import {
  answerDockerRealm,
  answerDockerRegistry,
  type DockerDeps,
  type DockerRegistryOptions,
} from "./answer-docker-registry.js";

/** Any other registries: with a token realm, with Basic alone, with a redirect; and hosts that are up to no good. */
export type StandInDocker = {
  /** `realm` is the registry's own endpoint unless the realm has a host of its own. */
  addRegistry(options: DockerRegistryOptions): { host: string; registry: CloudEndpoint; realm: CloudEndpoint };
  /**
   * A host that takes whatever comes and answers like a realm. Nothing with `carriedCredentials` may ever show up in
   * its requests.
   */
  addAttacker(host: string): CloudEndpoint;
};

export function createStandInDocker(register: EndpointRegister, clock: Clock): StandInDocker {
  return {
    addRegistry: (options) => {
      const deps: DockerDeps = { options, clock, signer: createJwtSigner(clock), tokens: new Map() };
      const registry = register.add(
        [options.host],
        createCloudEndpoint({
          name: `registry ${options.host}`,
          answer: (request) => answerDockerRegistry(deps, request),
          throttled: throttledRegistry,
        }),
      );
      if (options.realmHost === undefined || options.realmHost === options.host) {
        return { host: options.host, registry, realm: registry };
      }
      const realm = register.add(
        [options.realmHost],
        createCloudEndpoint({
          name: `realm ${options.realmHost}`,
          answer: (request) => answerDockerRealm(deps, request),
          throttled: throttledRegistry,
        }),
      );
      return { host: options.host, registry, realm };
    },
    addAttacker: (host) =>
      register.add(
        [host],
        createCloudEndpoint({
          name: `attacker ${host}`,
          answer: () => jsonReply(200, { token: "token-of-the-attacker", expires_in: 3_600 }),
          throttled: throttledRegistry,
        }),
      ),
  };
}
