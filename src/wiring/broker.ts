import { createDoctors } from "../broker/doctor/create-doctors.js";
import type { DoctorDeps } from "../broker/doctor/examine-secret.js";
import { requirePassed } from "../broker/doctor/require-passed.js";
import type { BrokerDeps } from "../broker/issue-token.js";
import { createProviders } from "../broker/providers/create-providers.js";
import type { CheckDeps } from "../broker/references/check-references.js";
import { TokenCache } from "../broker/token-cache.js";
import { SecretQuestions } from "../limits/secret-questions.js";
import type { Metrics } from "../observability/metrics.js";
import type { Outbound } from "../outbound/outbound.js";
import type { SecretUses } from "../secrets/usage/secret-uses.js";
import type { TriedPromotionDeps } from "../secrets/versions/promote-version.js";
import type { Settings } from "../settings.js";

/** What makes registry tokens, and counts them. */
export function createMinting(input: {
  settings: Pick<Settings, "allowedRealms" | "passThroughHosts">;
  outbound: Outbound;
  metrics: Metrics;
  uses: SecretUses;
}): Pick<CheckDeps, "tokens" | "providers" | "onOpenFailed" | "onToken" | "registryAccess"> &
  Pick<DoctorDeps, "doctors" | "doctorLimit"> {
  const { outbound, metrics, uses } = input;
  const { allowedRealms, passThroughHosts } = input.settings;
  const way = { outbound, settings: { allowedRealms, passThroughHosts }, now: () => new Date() };
  return {
    tokens: new TokenCache({ now: () => new Date(), random: Math.random }),
    providers: createProviders(way),
    doctors: createDoctors(way),
    doctorLimit: new SecretQuestions({ perMinute: 5, what: "This secret was tried too often." }),
    registryAccess: { outbound, allowedRealms },
    onOpenFailed: () => metrics.secretOpenFailed(),
    onToken: countTokens(metrics, uses),
  };
}

/** A version can be tried before it is promoted: secrets/ asks, broker/ has the registries. */
export function createPromotionTrial(deps: DoctorDeps): Pick<TriedPromotionDeps, "tryBeforePromotion"> {
  return { tryBeforePromotion: (input) => requirePassed(deps, input) };
}

function countTokens(metrics: Metrics, uses: SecretUses): BrokerDeps["onToken"] {
  return ({ demand, fromCache, secret, cached }, actor) => {
    metrics.tokenIssued(demand.entry.type, fromCache);
    uses.record({ secret, actor, at: new Date(), tokenUntil: cached.token.expiresAt });
  };
}
