import { createDoctors } from "../../broker/doctor/examine-registry.js";
import { type DoctorDeps, requirePassed } from "../../broker/doctor/examine-secret.js";
import { unservedRegistries } from "../../broker/issue/decide-demands.js";
import type { Facts } from "../../broker/issue/factory-facts.js";
import type { BrokerDeps } from "../../broker/issue/issue-token.js";
import { createProducts, type Products } from "../../broker/issue/products.js";
import { createProviders } from "../../broker/providers/create-providers.js";
import type { CheckDeps } from "../../broker/references/check-references.js";
import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { signAssertion } from "../../federation/sign-assertion.js";
import type { SigningKeys } from "../../identity/oauth/keys/signing-keys.js";
import { SecretQuestions } from "../../limits/secret-questions.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Outbound } from "../../outbound/outbound.js";
import type { SecretUses } from "../../secrets/usage/secret-uses.js";
import type { TriedPromotionDeps } from "../../secrets/versions/promote-version.js";
import type { Settings } from "../../settings/settings.js";

/** What makes registry tokens, and counts them. */
export function createMinting(input: {
  settings: Pick<Settings, "allowedRealms" | "passThroughHosts" | "publicUrl">;
  outbound: Outbound;
  metrics: Metrics;
  uses: SecretUses;
  federationKeys: SigningKeys;
}): Pick<CheckDeps, "assert" | "onOpenFailed" | "onToken" | "registryAccess"> &
  Pick<DoctorDeps, "doctors" | "doctorLimit"> &
  Products {
  const { outbound, metrics, uses, federationKeys } = input;
  const { allowedRealms, passThroughHosts, publicUrl } = input.settings;
  const now = databaseNow;
  const way = { outbound, settings: { allowedRealms, passThroughHosts }, now };
  return {
    ...createProducts({ ...way, providers: createProviders(way), random: Math.random }),
    assert: (asserted) => signAssertion({ federationKeys, federationUrl: publicUrl, now }, asserted),
    doctors: createDoctors(way),
    doctorLimit: new SecretQuestions({ perMinute: 5, what: "This secret was tried too often." }),
    registryAccess: { outbound, allowedRealms },
    onOpenFailed: () => metrics.secretOpenFailed(),
    onToken: countTokens(metrics, uses),
  };
}

/** What a job is opened for is asked of the entries: identity/ grants, broker/ knows what an entry serves. */
export function createGrantCheck(facts: Facts) {
  return {
    unservedRegistries: (factory: FactoryRef, registries: readonly string[]) =>
      unservedRegistries(facts, factory, registries),
  };
}

/** A version can be tried before it is promoted: secrets/ asks, broker/ has the registries. */
export function createPromotionTrial(deps: DoctorDeps): Pick<TriedPromotionDeps, "tryBeforePromotion"> {
  return { tryBeforePromotion: (input) => requirePassed(deps, input) };
}

function countTokens(metrics: Metrics, uses: SecretUses): BrokerDeps["onToken"] {
  return ({ demand, fromCache, secret, cached }, actor) => {
    metrics.tokenIssued(demand.entry.type, fromCache);
    if (secret) uses.record({ secret, actor, at: databaseNow(), tokenUntil: cached.token.expiresAt });
  };
}
