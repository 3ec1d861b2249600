import type { z } from "zod";
import type { TrustRuleView } from "./contract.js";
import { lintRule } from "./lint-rule.js";
import type { StoredRule } from "./store.js";

/** A rule as replies show it, graded by the linter of today. */
export function ruleView(rule: StoredRule): z.input<typeof TrustRuleView> {
  const { maxTtlSeconds, deliverSecrets, jwksUrl, jwks } = rule;
  return {
    id: rule.id,
    name: rule.name,
    template: rule.template,
    issuer: rule.issuer,
    audience: rule.audience,
    ...(jwksUrl !== undefined && { jwksUrl }),
    ...(jwks !== undefined && { jwks }),
    algorithms: rule.algorithms,
    conditions: rule.conditions,
    grants: rule.grants,
    ...(maxTtlSeconds !== undefined && { maxTtlSeconds }),
    ...(deliverSecrets && { deliverSecrets }),
    singleUse: rule.singleUse,
    version: rule.version,
    createdAt: rule.createdAt.toISOString(),
    createdBy: rule.createdBy,
    updatedAt: rule.updatedAt.toISOString(),
    findings: lintRule(rule),
  };
}
