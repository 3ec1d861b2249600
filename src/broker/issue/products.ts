import type { EventBody, IssuedFacts } from "../../audit/events.js";
import { mintAwsCredentials, mintToken, type ProviderDeps, type Providers } from "../providers/create-providers.js";
import type { Minted, MintedAwsCredentials, MintedToken, MintRequest } from "../providers/provider.js";
import { mintUpstreamCredential, type UpstreamCredential } from "../providers/upstream-credential.js";
import { AwsCredentials, RegistryToken } from "./contract.js";
import { TokenCache } from "./token-cache.js";

/** All that is made of stored secrets. `upstreamCredentials` stay in the service. */
export type Products = {
  registryTokens: Product<MintedToken>;
  awsCredentials: Product<MintedAwsCredentials>;
  upstreamCredentials: HeldProduct<UpstreamCredential>;
};

/** Makes the products, each with a cache of its own. */
export function createProducts(deps: ProviderDeps & { providers: Providers; random: () => number }): Products {
  const { providers, now, random } = deps;
  return {
    upstreamCredentials: {
      name: "registry-token",
      cache: new TokenCache({ now, random, toJson: () => "" }),
      mint: async (request) => {
        const { host, repositories: [repository] = [] } = request;
        if (host === undefined || repository === undefined) throw new Error("a relayed request names both");
        return mintUpstreamCredential(deps, { ...request, host, repositories: [repository] });
      },
    },
    registryTokens: {
      name: "registry-token",
      cache: new TokenCache({ now, random, toJson: registryTokenJson }),
      mint: (request) => mintToken(providers, request),
      issued: (facts: IssuedFacts, token) => ({
        action: "registry-token.issued",
        kind: token.kind,
        ...facts,
        ...(token.raw && { raw: true as const }),
      }),
    },
    awsCredentials: {
      name: "aws-credentials",
      cache: new TokenCache({ now, random, toJson: awsCredentialsJson }),
      mint: (request) => mintAwsCredentials(providers, request),
      issued: (facts) => ({ action: "aws-credentials.issued", ...facts }),
    },
  };
}

/** A token as a `RegistryToken` of the reply. */
export function registryTokenJson(token: MintedToken, refreshAfter: Date): string {
  const times = { expiresAt: token.expiresAt.toISOString(), refreshAfter: refreshAfter.toISOString() };
  return JSON.stringify(RegistryToken.parse({ ...token, ...times }));
}

function awsCredentialsJson({ keys, expiresAt }: MintedAwsCredentials): string {
  const reply = AwsCredentials.parse({
    AccessKeyId: keys.accessKeyId,
    SecretAccessKey: keys.secretAccessKey,
    Token: keys.sessionToken,
    Expiration: expiresAt.toISOString(),
  });
  return JSON.stringify(reply);
}

/** One kind of thing that the broker makes of a stored secret: made and kept in its own way. */
export type HeldProduct<T extends Minted> = {
  /** In the audit: `<name>.failed`, `<name>.refreshed`. */
  name: "registry-token" | "aws-credentials";
  cache: TokenCache<T>;
  mint(request: MintRequest): Promise<T>;
};

/** One that is handed out. */
export type Product<T extends Minted> = HeldProduct<T> & {
  /** The audit's event of one that is handed out. */
  issued(facts: IssuedFacts, token: T): EventBody;
};
