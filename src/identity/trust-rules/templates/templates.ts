import type { TemplateName } from "../contract.js";
import { buildkite } from "./buildkite.js";
import { circleci } from "./circleci.js";
import { generic } from "./generic.js";
import { githubActions } from "./github-actions.js";
import { gitlab } from "./gitlab.js";
import { kubernetes } from "./kubernetes.js";
import type { RuleTemplate } from "./template.js";

export const templates: Readonly<Record<TemplateName, RuleTemplate>> = {
  "github-actions": githubActions,
  gitlab,
  buildkite,
  circleci,
  kubernetes,
  generic,
};

const all = Object.values(templates);

/** By whose rules a rule is judged: its issuer's, where that is known, whatever the rule calls itself. */
export function judgeOf(rule: { issuer: string; template: TemplateName }): RuleTemplate {
  return all.find((template) => template.knows(rule.issuer)) ?? templates[rule.template];
}

const identities: ReadonlySet<string> = new Set(
  all.flatMap(({ claims }) => claims.filter(({ use }) => use === "identity").map(({ claim }) => claim)),
);

/**
 * Claims that say which run it was and not whose: everybody has a branch of that name. One that ends in `id` can be
 * somebody's all the same, with an issuer that nobody here knows.
 */
export const claimsOfRuns: ReadonlySet<string> = new Set(
  all
    .flatMap(({ claims }) => claims.filter(({ use, claim }) => use === "narrowing" && !/[_-]id$/.test(claim)))
    .map(({ claim }) => claim)
    .filter((claim) => !identities.has(claim)),
);

/** Claims that can change hands, with whichever issuer. */
export const changingNames: ReadonlySet<string> = new Set(
  all
    .flatMap(({ claims }) => claims.filter(({ use, claim }) => use === "name" && claim !== "sub"))
    .map(({ claim }) => claim),
);
