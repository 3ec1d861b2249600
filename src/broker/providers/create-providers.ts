import type { RegistryEntry, RegistryType } from "../../factory-config/entry.js";
import { Problem } from "../../http/problem.js";
import type { Outbound } from "../../outbound/outbound.js";
import type { MintedToken, MintRequest, RegistryProvider } from "../provider.js";
import { createAwsProvider } from "./aws.js";
import { createAzureProvider } from "./azure.js";
import { createGarProvider } from "./gar.js";
import { createGenericProvider } from "./generic.js";
import type { AllowedRealm } from "./token-realm.js";

export type ProviderDeps = {
  outbound: Pick<Outbound, "request">;
  settings: { allowedRealms: readonly AllowedRealm[]; passThroughHosts: readonly string[] };
  now: () => Date;
};

/** The provider of each type of entry. */
export type Providers = {
  [T in RegistryType]: RegistryProvider<Extract<RegistryEntry, { type: T }>>;
};

/** Makes the four providers. No cloud SDK is loaded before the first token of its cloud is minted. */
export function createProviders(deps: ProviderDeps): Providers {
  const { outbound, now, settings } = deps;
  return {
    aws: createAwsProvider({ outbound, now }),
    azure: createAzureProvider({ outbound, now }),
    gar: createGarProvider({ outbound, now }),
    generic: createGenericProvider({ outbound, now, ...settings }),
  };
}

// One mint takes up to a handful of calls of at most 5 s each, and the SDK's pauses between retries.
const mintTimeoutMs = 15_000;

/**
 * Mints with the provider of the entry's type.
 * @throws Problem for everything that a person can act on, `upstream-timeout` after 15 s in all; or the reason of `signal`
 */
export async function mintToken(providers: Providers, request: MintRequest): Promise<MintedToken> {
  const deadline = AbortSignal.timeout(mintTimeoutMs);
  const signal = AbortSignal.any([request.signal, deadline]);
  try {
    return await mintByType(providers, { ...request, signal });
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason;
    if (!deadline.aborted || error instanceof Problem) throw error;
    const seconds = mintTimeoutMs / 1_000;
    throw new Problem(
      "upstream-timeout",
      `No token for registry entry "${request.entry.id}" within ${seconds} s. Try again later.`,
    );
  }
}

function mintByType(providers: Providers, request: MintRequest): Promise<MintedToken> {
  const { entry } = request;
  switch (entry.type) {
    case "aws":
      return providers.aws.mint({ ...request, entry });
    case "azure":
      return providers.azure.mint({ ...request, entry });
    case "gar":
      return providers.gar.mint({ ...request, entry });
    case "generic":
      return providers.generic.mint({ ...request, entry });
    default:
      return entry satisfies never;
  }
}
