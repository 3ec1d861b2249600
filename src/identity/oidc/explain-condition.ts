import { nearestName } from "../../core/nearest-name.js";
import { type Claims, claimAt, comparisonOf, holds } from "./conditions.js";
import type { TrustCondition, TrustRule } from "./contract.js";
import type { ExplainedCondition } from "./explain-contract.js";
import { boundedText, type RuleVerdict } from "./judge-rules.js";
import { claimName, type RuleTemplate } from "./templates/template.js";
import { judgeOf } from "./templates/templates.js";

const noSuchClaim = "The token has no such claim.";

/** Claims that a person asks about. What costs work is done once for all rules, and not without end. */
export type AskedClaims = {
  claims: Claims;
  /** A claim as JSON, shortened; `undefined` when there is none. */
  textOf(name: string): string | undefined;
  /** The claim that a name is a misspelling of. */
  nearestTo(name: string): string | undefined;
};

/** As many as an ID token can have. */
const maxCompared = 200;
/** A factory's rules can name thousands of claims, and each that is missing is compared with all that are there. */
const maxMisspelt = 100;

export function askedClaims(claims: Claims): AskedClaims {
  const present = Object.keys(claims).slice(0, maxCompared);
  const texts = new Map<string, string | undefined>();
  const misspelt = new Map<string, string | undefined>();
  return {
    claims,
    textOf(name) {
      if (!texts.has(name)) texts.set(name, textOf(claimAt(claims, name)));
      return texts.get(name);
    },
    nearestTo(name) {
      if (!misspelt.has(name) && misspelt.size < maxMisspelt) misspelt.set(name, nearestName(name, present));
      return misspelt.get(name);
    },
  };
}

function textOf(found: unknown): string | undefined {
  return found === undefined ? undefined : boundedText(JSON.stringify(found));
}

/** All that a rule asks of claims, one after the other: issuer, audience, its conditions, and `jti` for a single use. */
export function explainConditions(verdict: RuleVerdict, asked: AskedClaims): ExplainedCondition[] {
  const { rule } = verdict;
  const issuer = judgeOf(rule);
  return [
    explained(shown("iss", JSON.stringify(rule.issuer), asked, verdict.issuer), hintForIssuer(rule, asked)),
    explained(
      shown("aud", `${JSON.stringify(rule.audience)} alone`, asked, verdict.audience),
      hintForAudience(rule, asked),
    ),
    ...verdict.conditions.map(({ condition, holds }) =>
      explained(
        shown(condition.claim, expectation(condition), asked, holds),
        holds ? undefined : hintFor(condition, asked, issuer),
      ),
    ),
    ...(rule.singleUse ? [explainTokenId(asked, verdict.tokenId)] : []),
  ];
}

function explained(condition: ExplainedCondition, hint: string | undefined): ExplainedCondition {
  return { ...condition, ...(hint !== undefined && { hint }) };
}

function hintForIssuer({ issuer }: TrustRule, { claims }: AskedClaims): string | undefined {
  const found = claims.iss;
  if (found === undefined) return noSuchClaim;
  const differsBySlash = found === `${issuer}/` || `${String(found)}/` === issuer;
  return differsBySlash ? "Differs by the slash at its end alone, and that counts." : undefined;
}

function hintForAudience({ audience }: TrustRule, { claims }: AskedClaims): string | undefined {
  const found = claims.aud;
  if (found === undefined) return noSuchClaim;
  const isOneOfMany = Array.isArray(found) && found.includes(audience) && found.length > 1;
  return isOneOfMany ? "It is for others too, who could have brought it here: ask for this audience alone." : undefined;
}

function explainTokenId(asked: AskedClaims, holds: boolean): ExplainedCondition {
  const isAbsent = asked.claims.jti === undefined;
  return explained(
    shown("jti", "any text: the rule takes a token once", asked, holds),
    isAbsent ? `${noSuchClaim} Without it a rule with singleUse takes none.` : undefined,
  );
}

function shown(claim: string, expected: string, asked: AskedClaims, isHeld: boolean): ExplainedCondition {
  const found = asked.textOf(claim);
  return { claim, expected: boundedText(expected), ...(found !== undefined && { found }), holds: isHeld };
}

function expectation(condition: TrustCondition): string {
  const asked = comparisonOf(condition);
  if (asked.kind === "glob") return `a text like ${JSON.stringify(asked.glob)}`;
  return asked.values.map((value) => JSON.stringify(value)).join(" or ");
}

/** What a person looks for when a build is red: a name mistyped, a type mistaken, a star that stops at a slash. */
function hintFor(
  condition: TrustCondition,
  { claims, nearestTo }: AskedClaims,
  issuer: RuleTemplate,
): string | undefined {
  const found = claimAt(claims, condition.claim);
  if (found === undefined) {
    const meant = nearestTo(condition.claim);
    return meant === undefined ? noSuchClaim : `${noSuchClaim} It has ${meant}.`;
  }
  if (typeof found === "object") return "Only a text, a number or a boolean can be compared.";
  const asked = comparisonOf(condition);
  if (asked.kind === "glob" && typeof found === "string") return hintForGlob(condition, asked.glob, claims);
  if (asked.kind === "glob") return hintForType(condition, found, issuer);
  if (asked.values.some((value) => typeof value !== typeof found && String(value) === String(found))) {
    return hintForType(condition, found, issuer);
  }
  const lower = String(found).toLowerCase();
  const differsByCase = asked.values.some((value) => String(value).toLowerCase() === lower);
  return differsByCase ? "Differs by upper and lower case alone, and that counts." : undefined;
}

/** Claims that were typed by hand can be of another type than the issuer's own: then the rule is right. */
function hintForType(condition: TrustCondition, found: unknown, { title, claims }: RuleTemplate): string {
  const sent = claims.find(({ claim }) => claim === claimName(condition.claim))?.type;
  return sent !== undefined && sent !== kindOf(found)
    ? `Here it is a ${kindOf(found)}; ${title} is known to send it as a ${sent}.`
    : `The token has it as a ${kindOf(found)}: write ${comparisonFor(found)}.`;
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
