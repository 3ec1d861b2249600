import { decideDemands } from "../../broker/decide-demands.js";
import type { FactoryFacts, Facts } from "../../broker/factory-facts.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import { ecrHost } from "../../core/cloud-hosts.js";
import { Problem } from "../../core/problem.js";
import type { AwsEntry } from "../../factory-config/entry.js";

/**
 * Decides by the facts of a factory, and once more by newer ones if that was refused by facts of yesterday.
 * @throws what `decide` throws
 */
export async function byCurrentFacts<T>(
  facts: Facts,
  factory: FactoryRef,
  decide: (facts: FactoryFacts) => T,
): Promise<T> {
  const known = await facts.of(factory);
  try {
    return decide(known);
  } catch (error) {
    if (!(error instanceof Problem) || !(await facts.areOutdated(known))) throw error;
    return decide(await facts.of(factory));
  }
}

/**
 * The entries of type aws that a caller may pull from.
 * @param asked - the host or the id of one; absent: all of them
 * @throws Problem for one that is not there, not of type aws, or outside the caller's grants
 */
export function awsEntries(
  facts: FactoryFacts,
  caller: Pick<Caller, "grants">,
  asked: string | undefined,
): [AwsEntry, ...AwsEntry[]] {
  const decided = decideDemands(facts, caller, asked === undefined ? undefined : [{ registry: asked }], false);
  const refused = decided.find((one) => "problem" in one);
  if (asked !== undefined && refused) throw refused.problem;
  const entries = new Map<string, AwsEntry>();
  for (const { entry } of decided.flatMap((one) => ("demands" in one ? one.demands : []))) {
    if (entry.type === "aws" && !isPublic(entry)) entries.set(entry.id, entry);
  }
  const [first, ...others] = entries.values();
  if (first) return [first, ...others];
  if (asked === undefined)
    throw new Problem("registry-unknown", "There is no registry entry of type aws to pull from.");
  throw new Problem(
    "not-representable",
    "This registry is not an Amazon ECR of an account, so it has no AWS credentials. Ask for a registry token.",
  );
}

const isPublic = ({ host }: AwsEntry): boolean => host !== undefined && ecrHost(host)?.public === true;

/** The one that is meant. @throws Problem `registry-required` when several could be */
export function onlyAwsEntry(facts: FactoryFacts, caller: Pick<Caller, "grants">, asked: string | undefined): AwsEntry {
  const [entry, ...others] = awsEntries(facts, caller, asked);
  if (others.length === 0) return entry;
  const ids = [entry, ...others].map(({ id }) => id).join(", ");
  throw new Problem("registry-required", `There are several registry entries of type aws. Name one of them: ${ids}.`);
}
