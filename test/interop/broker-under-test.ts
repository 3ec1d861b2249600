import type { MintedToken } from "../../src/broker/provider.js";
import { createGenericProvider } from "../../src/broker/providers/generic.js";
import { Plaintext } from "../../src/crypto/plaintext.js";
import { parseConnectTo } from "../../src/outbound/connect-to.js";
import { createOutbound, outboundDefaults } from "../../src/outbound/outbound.js";
import type { PrivateRegistry } from "../support/registry/private-registry.js";

export type BrokerUnderTest = {
  /** A token for these repositories of the registry, or for all that its user can reach. */
  token(repositories: readonly string[] | undefined): Promise<MintedToken>;
  close(): Promise<void>;
};

/** The broker with one generic entry: it holds a login for a registry and gives out what a job would get. */
export function brokerFor(
  registry: PrivateRegistry,
  options: { login: string; passThrough: boolean },
): BrokerUnderTest {
  const { host } = registry;
  const outbound = createOutbound({
    ...outboundDefaults,
    connectTo: parseConnectTo(registry.connectTo).rules,
    caCertificates: [registry.caPem],
  });
  const passThroughHosts = options.passThrough ? [host] : [];
  const provider = createGenericProvider({ outbound, now: () => new Date(), allowedRealms: [], passThroughHosts });
  return {
    token: (repositories) =>
      provider.mint({
        entry: { id: host, type: "generic", host, passThrough: options.passThrough, secretName: "registry_login" },
        host,
        factoryId: "00000000-0000-4000-8000-000000000001",
        secret: { name: "registry_login", version: 1, value: Plaintext.fromText(options.login) },
        repositories,
        allowBroader: false,
        signal: new AbortController().signal,
      }),
    close: () => outbound.close(),
  };
}
