import { nearestName } from "../../nearest-name.js";
import { type Claims, claimAt, comparisonOf, holds } from "./conditions.js";
import type { TrustCondition, TrustRule } from "./contract.js";
import type { ExplainedCondition } from "./explain-contract.js";
import { boundedText, isFor } from "./match-rules.js";

/** All that a rule asks of claims, one after the other: issuer, audience, its conditions, and `jti` for a single use. */
export function explainConditions(rule: TrustRule, claims: Claims): ExplainedCondition[] {
  return [
    explainIssuer(rule, claims),
    explainAudience(rule, claims),
    ...rule.conditions.map((condition) => explainCondition(condition, claims)),
    ...(rule.singleUse ? [explainTokenId(claims)] : []),
  ];
}

function explainIssuer({ issuer }: TrustRule, claims: Claims): ExplainedCondition {
  const isHeld = claims.iss === issuer;
  const differsBySlash = claims.iss === `${issuer}/` || `${String(claims.iss)}/` === issuer;
  return {
    ...shown("iss", JSON.stringify(issuer), claims, isHeld),
    ...(differsBySlash && { hint: "Differs by the slash at its end alone, and that counts." }),
  };
}

function explainAudience({ audience }: TrustRule, claims: Claims): ExplainedCondition {
  const isOneOfMany = Array.isArray(claims.aud) && claims.aud.includes(audience) && claims.aud.length > 1;
  return {
    ...shown("aud", `${JSON.stringify(audience)} alone`, claims, isFor(audience, claims)),
    ...(isOneOfMany && { hint: "It is for others too, who could have brought it here: ask for this audience alone." }),
  };
}

function explainTokenId(claims: Claims): ExplainedCondition {
  return shown(
    "jti",
    "any text: the rule takes a token once",
    claims,
    typeof claims.jti === "string" && claims.jti !== "",
  );
}

function explainCondition(condition: TrustCondition, claims: Claims): ExplainedCondition {
  const isHeld = holds(condition, claims);
  const hint = isHeld ? undefined : hintFor(condition, claims);
  return { ...shown(condition.claim, expectation(condition), claims, isHeld), ...(hint !== undefined && { hint }) };
}

function shown(claim: string, expected: string, claims: Claims, isHeld: boolean): ExplainedCondition {
  const found = claimAt(claims, claim);
  return {
    claim,
    expected: boundedText(expected),
    ...(found !== undefined && { found: boundedText(JSON.stringify(found)) }),
    holds: isHeld,
  };
}

function expectation(condition: TrustCondition): string {
  const asked = comparisonOf(condition);
  if (asked.kind === "glob") return `a text like ${JSON.stringify(asked.glob)}`;
  return asked.values.map((value) => JSON.stringify(value)).join(" or ");
}

/** What a person looks for when a build is red: a name mistyped, a type mistaken, a star that stops at a slash. */
function hintFor(condition: TrustCondition, claims: Claims): string | undefined {
  const found = claimAt(claims, condition.claim);
  if (found === undefined) {
    const meant = nearestName(condition.claim, Object.keys(claims));
    return meant === undefined ? "The token has no such claim." : `The token has no such claim. It has ${meant}.`;
  }
  if (typeof found === "object") return "Only a text, a number or a boolean can be compared.";
  const asked = comparisonOf(condition);
  if (asked.kind === "glob" && typeof found === "string") return hintForGlob(condition, asked.glob, claims);
  if (asked.kind === "glob") return `The token has it as a ${kindOf(found)}: write ${comparisonFor(found)}.`;
  if (asked.values.some((value) => typeof value !== typeof found && String(value) === String(found))) {
    return `The token has it as a ${kindOf(found)}: write ${comparisonFor(found)}.`;
  }
  const lower = String(found).toLowerCase();
  const differsByCase = asked.values.some((value) => String(value).toLowerCase() === lower);
  return differsByCase ? "Differs by upper and lower case alone, and that counts." : undefined;
}

function hintForGlob(condition: TrustCondition, glob: string, claims: Claims): string | undefined {
  const wider = { ...condition, glob: glob.replaceAll(/\*+/g, "**") };
  return holds(wider, claims) ? "A star stops at a slash; two stars do not." : undefined;
}

function kindOf(found: unknown): string {
  return typeof found === "string" ? "text" : typeof found;
}

function comparisonFor(found: unknown): string {
  if (typeof found === "number") return "equalsNumber";
  return typeof found === "boolean" ? "equalsBoolean" : "equals";
}
