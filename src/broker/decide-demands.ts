import type { Caller } from "../core/caller.js";
import type { Grant } from "../core/grant.js";
import { Problem } from "../core/problem.js";
import type { FactoryFacts } from "./factory-facts.js";
import type { SecretRef } from "./issued-event.js";
import { grantIsFor, isSameHost, type Selected, selectRegistry, selectWhole, someOf } from "./select-registry.js";

/** What a request asks for, after its format and options. */
export type Asked = { registry: string; repositories?: readonly string[] | undefined };

/** One token to hand out: for which registry, limited to what, and whether it may reach more. */
export type Demand = Selected & { repositories: readonly string[] | undefined; allowBroader: boolean };

/** A demand, or why there is none for that registry. */
export type Decided = { registry: string; demands: Demand[] } | { registry: string; problem: Problem };

/**
 * Turns a request into demands, within what the caller may have. Without `asked` every entry is answered for; a caller
 * with grants is answered for what they name.
 */
export function decideDemands(
  facts: FactoryFacts,
  caller: Pick<Caller, "grants">,
  asked: readonly Asked[] | undefined,
  allowBroader: boolean,
): Decided[] {
  return [...decisions(facts, caller, asked, allowBroader)];
}

/** As `decideDemands`, one after the other: thousands of entries take longer than the event loop may be held. */
export function* decisions(
  facts: FactoryFacts,
  { grants }: Pick<Caller, "grants">,
  asked: readonly Asked[] | undefined,
  allowBroader: boolean,
): Generator<Decided, undefined> {
  if (asked || grants) {
    const all = asked ?? [...new Set(grants?.map(({ registry }) => registry))].map((registry) => ({ registry }));
    const isBroad = asked !== undefined && allowBroader;
    for (const one of all) yield decide(one.registry, () => demandsFor(facts, grants, one, isBroad));
    return;
  }
  for (const known of facts.entries) {
    yield decide(known.entry.id, () =>
      selectWhole(known).map((selected) => ({ ...selected, repositories: undefined, allowBroader: false })),
    );
  }
}

function decide(registry: string, demands: () => Demand[]): Decided {
  try {
    return { registry, demands: demands() };
  } catch (error) {
    if (error instanceof Problem) return { registry, problem: error };
    throw error;
  }
}

function demandsFor(
  facts: FactoryFacts,
  grants: readonly Grant[] | undefined,
  asked: Asked,
  allowBroader: boolean,
): Demand[] {
  // A caller with grants learns of no registry beyond them.
  const selected = grants
    ? selectGranted(facts, grants, asked.registry)
    : selectRegistry(facts.entries, asked.registry);
  const repositories = asked.repositories && sortedSet(asked.repositories);
  return selected.map((one) => {
    if (!grants) return { ...one, repositories, allowBroader };
    const lines = grants.filter((grant) => grantIsFor(grant, one));
    return { ...one, ...withinGrants(lines, repositories, allowBroader, grants) };
  });
}

function selectGranted(facts: FactoryFacts, grants: readonly Grant[], registry: string): Selected[] {
  let selected: Selected[];
  try {
    selected = selectRegistry(facts.entries, registry);
  } catch (error) {
    if (!(error instanceof Problem) || grants.some((grant) => isSameHost(grant.registry, registry))) throw error;
    throw outsideGrants(grants);
  }
  const granted = selected.filter((one) => grants.some((grant) => grantIsFor(grant, one)));
  if (granted.length === 0) throw outsideGrants(grants);
  return granted;
}

// The lines stay what they are: each repository that is asked for must be in one of them as a whole.
function withinGrants(
  lines: readonly Grant[],
  asked: readonly string[] | undefined,
  allowBroader: boolean,
  grants: readonly Grant[],
): Pick<Demand, "repositories" | "allowBroader"> {
  const whole = lines.some((line) => line.repositories === undefined);
  if (whole) return { repositories: asked, allowBroader };
  const granted = sortedSet(lines.flatMap((line) => line.repositories ?? []));
  if (asked?.some((repository) => !granted.includes(repository))) throw outsideGrants(grants);
  return { repositories: asked ?? granted, allowBroader: false };
}

function outsideGrants(grants: readonly Grant[]): Problem {
  const lines = grants.map(({ registry, repositories }) =>
    repositories ? `${someOf(repositories)} of ${registry}` : `everything of ${registry}`,
  );
  return new Problem("outside-grants", `This job was opened for less. It may ask for: ${someOf(lines, "; ")}.`);
}

function sortedSet(repositories: readonly string[]): string[] {
  return [...new Set(repositories)].sort();
}

/**
 * The secret that opens the registry of a demand; `undefined` for an entry that needs none.
 * @throws Problem `secret-missing`, `destination-not-approved`
 */
export function secretFor(facts: FactoryFacts, { entry, isApproved }: Demand): SecretRef | undefined {
  const { id, secretName } = entry;
  if (secretName === undefined) return undefined;
  const secret = facts.secrets.get(secretName);
  if (!secret) {
    const detail = `The entry ${id} names the secret "${secretName}", which does not exist. Create it: fioctl secrets update ${secretName}=...`;
    throw new Problem("secret-missing", detail);
  }
  if (isApproved) return secret;
  throw new Problem(
    "destination-not-approved",
    `Nobody with secrets:write has approved sending "${secretName}" to ${id}. Let one publish the config.`,
  );
}
