import type { BrokerDeps } from "../broker/issue-token.js";
import { createProviders } from "../broker/providers/create-providers.js";
import { TokenCache } from "../broker/token-cache.js";
import { signAssertion } from "../federation/sign-assertion.js";
import type { SigningKeys } from "../identity/oauth/keys/signing-keys.js";
import type { Metrics } from "../observability/metrics.js";
import type { Outbound } from "../outbound/outbound.js";
import type { SecretUses } from "../secrets/usage/secret-uses.js";
import type { Settings } from "../settings.js";

/** What makes registry tokens, and counts them. */
export function createMinting(input: {
  settings: Pick<Settings, "allowedRealms" | "passThroughHosts" | "publicUrl">;
  outbound: Outbound;
  metrics: Metrics;
  uses: SecretUses;
  federationKeys: SigningKeys;
}): Pick<BrokerDeps, "tokens" | "providers" | "assert" | "onOpenFailed" | "onToken"> {
  const { outbound, metrics, uses, federationKeys } = input;
  const { allowedRealms, passThroughHosts, publicUrl } = input.settings;
  const now = () => new Date();
  return {
    tokens: new TokenCache({ now, random: Math.random }),
    providers: createProviders({ outbound, settings: { allowedRealms, passThroughHosts }, now }),
    assert: (asserted) => signAssertion({ federationKeys, federationUrl: publicUrl, now }, asserted),
    onOpenFailed: () => metrics.secretOpenFailed(),
    onToken: countTokens(metrics, uses),
  };
}

function countTokens(metrics: Metrics, uses: SecretUses): BrokerDeps["onToken"] {
  return ({ demand, fromCache, secret, cached }, actor) => {
    metrics.tokenIssued(demand.entry.type, fromCache);
    if (secret) uses.record({ secret, actor, at: new Date(), tokenUntil: cached.token.expiresAt });
  };
}
