import { z } from "zod";
import type { Caller } from "../../core/caller.js";
import type { Permission } from "../../core/permissions.js";
import { SignatureAlgorithm } from "./contract.js";
import type { FactoryRules } from "./factory-rules.js";
import { boundedText, decide, judgeRules, type RuleVerdict, type Trusted } from "./judge-rules.js";
import { keySourceId } from "./key-sets.js";
import { type IdTokenFailure, keySourceOf } from "./verify-id-token.js";

/**
 * What is known of a workload once its ID token has been verified: enough to judge it by the rules of any later time
 * without the token. A session keeps this.
 */
export const VerifiedIdToken = z.object({
  algorithm: SignatureAlgorithm,
  /** The sources of keys by which its signature holds (`keySourceId`): a rule with another one did not verify it. */
  sources: z.array(z.string()),
  /** Whether its `jti` was taken, so that nobody can come with it again. */
  isTaken: z.boolean(),
  claims: z.record(z.string(), z.unknown()),
});

export type VerifiedIdToken = z.output<typeof VerifiedIdToken>;

/** Why a workload is not let in. For the log. */
export type WorkloadRefusal = IdTokenFailure | "no-factory" | "no-match" | "no-token-id" | "already-used";

/** Whether another rule could have let the token in. */
export function isUpToRules(refusal: WorkloadRefusal): boolean {
  switch (refusal) {
    case "algorithm":
    case "issuer":
    case "audience":
    case "issuer-unreachable":
    case "key-unknown":
    case "signature":
    case "no-match":
      return true;
    case "malformed":
    case "type":
    case "expired":
    case "not-yet-valid":
    case "too-long-lived":
    case "no-factory":
    case "no-token-id":
    case "already-used":
      return false;
    default:
      return refusal satisfies never;
  }
}

/** All that any workload may do. */
export const workloadPermissions: ReadonlySet<Permission> = new Set<Permission>(["registry-tokens:issue"]);

/**
 * What the rules let the bearer of a verified token do; `undefined` when it is not let in. A rule that has become
 * single-use meanwhile wants the token presented again.
 */
export function trustedWorkload({ rules }: FactoryRules, verified: VerifiedIdToken): Trusted | undefined {
  const decision = decide(believed(judgeRules(rules, verified), verified.sources), verified.claims);
  return typeof decision === "string" || (decision.singleUse && !verified.isTaken) ? undefined : decision;
}

/** The verdicts of the rules whose source of keys verified the token. */
export function believed(verdicts: readonly RuleVerdict[], sources: readonly string[]): RuleVerdict[] {
  return verdicts.filter(({ rule }) => sources.includes(keySourceId(keySourceOf(rule))));
}

/** The caller that the bearer of an ID token is. Its `expiresAt` is left to whoever knows until when it may come. */
export function workloadCaller({ factory, generation }: FactoryRules, trusted: Trusted, sub: unknown): Caller {
  return {
    kind: "oidc",
    id: ruleId(trusted),
    name: boundedText(String(sub)),
    factory,
    permissions: workloadPermissions,
    grants: trusted.grants,
    ...(trusted.maxTtlSeconds !== undefined && { maxTtlSeconds: trusted.maxTtlSeconds }),
    ...(trusted.deliverSecrets && { deliverSecrets: true as const }),
    evidence: trusted.evidence,
    generation,
  };
}

/** Whom the audit names: the first rule that let it in. */
export function ruleId({ rules }: Trusted): string {
  return rules[0]?.id ?? "";
}
