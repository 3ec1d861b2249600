import type { Claims } from "../../../../src/identity/trust-rules/conditions.js";
import type { TrustRule } from "../../../../src/identity/trust-rules/contract.js";
import { decide, judgeRules, matches, type Trusted } from "../../../../src/identity/trust-rules/judge-rules.js";

export const audience = "https://secrets.example.com";

/** A rule as the store gives it: by default a safe one of an issuer that nobody knows. */
export function someRule(parts: Partial<TrustRule> = {}): TrustRule {
  return {
    id: "3f0c3f86-6f0e-4d0b-9d3b-6a1f0a1b2c3d",
    name: "some rule",
    version: 1,
    template: "generic",
    issuer: "https://issuer.example.com",
    audience,
    algorithms: ["RS256"],
    conditions: [{ claim: "sub", equals: "build-server-7" }],
    grants: [{ registry: "ghcr.io", repositories: ["team/app"], actions: ["pull"] }],
    singleUse: false,
    ...parts,
  };
}

export function matchRules(rules: readonly TrustRule[], claims: Claims): TrustRule[] {
  return judgeRules(rules, { claims })
    .filter(matches)
    .map(({ rule }) => rule);
}

/** What the bearer of a token with these claims and a `jti` gets. */
export function trustedBy(rules: readonly TrustRule[], claims: Claims): Trusted | undefined {
  const decision = decide(judgeRules(rules, { claims: { jti: "1", ...claims } }), claims);
  return typeof decision === "string" ? undefined : decision;
}
