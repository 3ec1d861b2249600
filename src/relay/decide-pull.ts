import { type Demand, decideDemands, secretFor } from "../broker/issue/decide-demands.js";
import type { FactoryFacts } from "../broker/issue/factory-facts.js";
import type { SecretRef } from "../broker/issue/issued-event.js";
import type { Caller } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import { CredentialRefused } from "../identity/invalid-credential.js";
import { type Place, scopeNameOf } from "./names.js";
import { OciProblem } from "./oci-errors.js";

/** What opens the registry for one pull. */
export type PullDecision = { demand: Demand & { host: string }; secret: SecretRef | undefined };

/**
 * A relayed pull is a demand for one repository, decided as every demand for a token is.
 * @throws Problem as `decideDemands` has: `outside-grants`, `registry-unknown` and others
 */
export function demandFor(
  facts: FactoryFacts,
  caller: Caller,
  { registry, repository }: Place,
): PullDecision["demand"] {
  const [decided] = decideDemands(facts, caller, [{ registry, repositories: [repository] }], false);
  if (decided === undefined) throw new Error("what is asked for is decided");
  if ("problem" in decided) throw decided.problem;
  const [demand, ...others] = decided.demands;
  if (demand?.host === undefined || others.length > 0) {
    throw new Problem(
      "registry-required",
      `"${registry}" is not the host of a registry. Name the image by its registry's host.`,
    );
  }
  return { ...demand, host: demand.host };
}

/**
 * @param names - what the token that the caller came with is limited to
 * @throws Problem of a refused demand; `destination-not-approved`, `secret-missing`; `unauthenticated` when the caller
 *   may pull this, and the token is for something else
 */
export function decidePull(
  facts: FactoryFacts,
  caller: Caller,
  place: Place,
  names: ReadonlySet<string> | undefined,
): PullDecision {
  const demand = demandFor(facts, caller, place);
  const secret = secretFor(facts, demand);
  if (names && !names.has(scopeNameOf(place))) {
    throw new OciProblem(
      "UNAUTHORIZED",
      "unauthenticated",
      "This token is for another repository. Ask for one with the scope of the challenge.",
      {
        cause: new CredentialRefused(insufficientScope, false),
      },
    );
  }
  return { demand, secret };
}

/** Why a token is refused that is good for something else, as the challenge says it (RFC 6750, section 3.1). */
export const insufficientScope = "insufficient_scope";
