import type { BrokerDeps } from "../broker/issue-token.js";
import { createProviders } from "../broker/providers/create-providers.js";
import type { CheckDeps } from "../broker/references/check-references.js";
import { TokenCache } from "../broker/token-cache.js";
import type { Metrics } from "../observability/metrics.js";
import type { Outbound } from "../outbound/outbound.js";
import type { SecretUses } from "../secrets/usage/secret-uses.js";
import type { Settings } from "../settings.js";

/** What makes registry tokens, and counts them. */
export function createMinting(input: {
  settings: Pick<Settings, "allowedRealms" | "passThroughHosts">;
  outbound: Outbound;
  metrics: Metrics;
  uses: SecretUses;
}): Pick<CheckDeps, "tokens" | "providers" | "onOpenFailed" | "onToken" | "registryAccess"> {
  const { outbound, metrics, uses } = input;
  const { allowedRealms, passThroughHosts } = input.settings;
  return {
    tokens: new TokenCache({ now: () => new Date(), random: Math.random }),
    providers: createProviders({ outbound, settings: { allowedRealms, passThroughHosts }, now: () => new Date() }),
    registryAccess: { outbound, allowedRealms },
    onOpenFailed: () => metrics.secretOpenFailed(),
    onToken: countTokens(metrics, uses),
  };
}

function countTokens(metrics: Metrics, uses: SecretUses): BrokerDeps["onToken"] {
  return ({ demand, fromCache, secret, cached }, actor) => {
    metrics.tokenIssued(demand.entry.type, fromCache);
    uses.record({ secret, actor, at: new Date(), tokenUntil: cached.token.expiresAt });
  };
}
