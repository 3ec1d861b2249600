import { Problem } from "../../core/problem.js";
import type { RegistryEntry, RegistryType } from "../../factory-config/entry.js";
import type { Outbound } from "../../outbound/outbound.js";
import { type AwsProvider, createAwsProvider } from "./aws/aws.js";
import { createAzureProvider } from "./azure/azure.js";
import type { AllowedRealm } from "./docker/docker-token.js";
import { createGenericProvider } from "./docker/generic.js";
import { createGarProvider } from "./google/gar.js";
import type { MintedAwsCredentials, MintedToken, MintRequest, RegistryProvider } from "./provider.js";

export type ProviderDeps = {
  outbound: Pick<Outbound, "request">;
  settings: { allowedRealms: readonly AllowedRealm[]; passThroughHosts: readonly string[] };
  now: () => Date;
};

/** The provider of each type of entry. */
export type Providers = {
  [T in RegistryType]: RegistryProvider<Extract<RegistryEntry, { type: T }>>;
} & { aws: AwsProvider };

/** Makes temporary AWS credentials. @throws Problem for everything that a person can act on */
export async function mintAwsCredentials(providers: Providers, request: MintRequest): Promise<MintedAwsCredentials> {
  const { entry } = request;
  if (entry.type === "aws") return providers.aws.mintCredentials({ ...request, entry });
  throw new Problem(
    "not-representable",
    `The registry entry "${entry.id}" is not of type aws: it has no AWS credentials.`,
  );
}

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

/** Mints a registry token with the provider of the entry's type. @throws Problem for everything that a person can act on */
export function mintToken(providers: Providers, request: MintRequest): Promise<MintedToken> {
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
