import { mintInTime } from "../../../../src/broker/issue/open-and-mint.js";
import { createProviders, mintToken } from "../../../../src/broker/providers/create-providers.js";
import type { AllowedRealm } from "../../../../src/broker/providers/docker/docker-token.js";
import type { MintedToken } from "../../../../src/broker/providers/provider.js";
import { Plaintext } from "../../../../src/crypto/plaintext.js";
import type { RegistryEntry } from "../../../../src/factory-config/entry.js";
import { parseConnectTo } from "../../../../src/outbound/connect-to.js";
import { createOutbound, outboundDefaults } from "../../../../src/outbound/outbound.js";
import type { StandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";

export type MintOptions = {
  repositories?: readonly string[];
  allowBroader?: boolean;
  host?: string;
  signal?: AbortSignal;
  allowedRealms?: readonly AllowedRealm[];
  passThroughHosts?: readonly string[];
  totalTimeoutMs?: number;
  /** What the service would sign for an audience. */
  assert?: (audience: string) => Promise<string>;
};

/** Mints one token with the real providers and the real guard against the stand-ins. */
export async function mintAgainst(
  clouds: StandInClouds,
  entry: RegistryEntry,
  secretText: string | undefined,
  options: MintOptions = {},
): Promise<MintedToken> {
  const outbound = createOutbound({
    ...outboundDefaults,
    connectTo: parseConnectTo(clouds.connectTo).rules,
    caCertificates: [clouds.caPem],
    totalTimeoutMs: options.totalTimeoutMs ?? outboundDefaults.totalTimeoutMs,
  });
  const { allowedRealms = [], passThroughHosts = [] } = options;
  const providers = createProviders({
    outbound,
    now: () => clouds.clock.now(),
    settings: { allowedRealms, passThroughHosts },
  });
  try {
    return await mintInTime((request) => mintToken(providers, request), {
      entry,
      host: options.host ?? ("host" in entry ? entry.host : undefined),
      factoryId: "0198c0de-0000-7000-8000-000000000001",
      secret:
        secretText === undefined
          ? undefined
          : { name: entry.secretName ?? "", version: 3, value: Plaintext.fromText(secretText) },
      assert: options.assert ?? (() => Promise.reject(new Error("this entry has a secret"))),
      repositories: options.repositories,
      allowBroader: options.allowBroader ?? false,
      signal: options.signal ?? new AbortController().signal,
    });
  } finally {
    await outbound.close();
  }
}

/** Basic credentials of a minted password, or the bearer, as a client sends them. */
export function authorizationOf(token: MintedToken): string {
  return token.kind === "bearer"
    ? `Bearer ${token.bearer}`
    : `Basic ${Buffer.from(`${token.username}:${token.password}`).toString("base64")}`;
}
