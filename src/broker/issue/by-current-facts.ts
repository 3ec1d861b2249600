import type { Outcome } from "../../audit/record.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import type { Generations } from "../../db/generations.js";
import type { Callers } from "../../identity/callers.js";
import type { FactoryFacts, Facts } from "./factory-facts.js";
import { StaleFacts } from "./open-and-mint.js";

/** A write in every round trip, five times in a row: then something is wrong with the factory, not with luck. */
const maxRounds = 5;

/** What an attempt gives when its facts, or its caller, turned out to be no longer true. */
export const decideAgain = Symbol("decide again");

type Deps = { facts: Facts; callers: Callers; generations: Generations };

/**
 * Makes a decision by facts of one generation and the caller's record of the same, and makes it anew as long as it turns
 * out that either has changed. An attempt sees to that itself: by the conditional row of the audit, or by `Facts.hold`.
 * @throws what the attempt throws; Problem `unauthenticated` when the caller was withdrawn, `conflict` after five rounds
 */
export async function byCurrentFacts<T>(
  deps: Deps,
  asked: { factory: FactoryRef; caller: Caller },
  attempt: (facts: FactoryFacts, caller: Caller) => Promise<T | typeof decideAgain>,
): Promise<T> {
  const { factory } = asked;
  let { caller } = asked;
  for (let round = 0; round < maxRounds; round += 1) {
    const facts = await deps.facts.of(factory);
    // The attempt vouches for what was read in the generation of the facts: a rule or an authority may have changed
    // since the caller was checked in an older one. Nothing of an operator depends on the factory.
    const isOlder = caller.kind !== "operator" && caller.generation < facts.generation;
    if (round > 0 || isOlder) caller = await deps.callers.readAgain(caller);
    try {
      const outcome = await attempt(facts, caller);
      if (outcome !== decideAgain) return outcome;
    } catch (error) {
      if (!(error instanceof StaleFacts)) throw error;
      deps.facts.forget(factory);
    }
  }
  throw new Problem("conflict", "The factory keeps changing. Ask again.", { retryAfterSeconds: 1 });
}

/** The answer of the audit to a row whose decision is no longer true. */
export type Stale = Extract<Outcome, { written: false }>;

/** Learns from such an answer. @throws Problem `not-found` when the factory is gone */
export function observeStale(
  { generations }: Pick<Deps, "generations">,
  factory: FactoryRef,
  { generation }: Stale,
): typeof decideAgain {
  if (generation === undefined) throw new Problem("not-found", "The factory was deleted.");
  generations.observe(factory.id, generation);
  return decideAgain;
}
