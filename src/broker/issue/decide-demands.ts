import type { Caller, FactoryRef } from "../../core/caller.js";
import { acrHost, ecrHost, isGarHost } from "../../core/cloud-hosts.js";
import type { Grant } from "../../core/grant.js";
import { normaliseHost } from "../../core/normalise-host.js";
import { Problem } from "../../core/problem.js";
import type { RegistryEntry } from "../../factory-config/entry.js";
import type { FactoryFacts, Facts, KnownEntry } from "./factory-facts.js";
import type { SecretRef } from "./issued-event.js";

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
    `No caller with secrets:write has approved sending "${secretName}" to ${id}. Let one publish the config.`,
  );
}

/** Of names that a sentence lists. A request has fifty answers, and thousands of names could stand in each. */
const maxListed = 20;
const maxListedLength = 4_000;

/** An entry, and the host to mint for; no host only for an `aws` entry whose registry names itself. */
export type Selected = KnownEntry & { host: string | undefined };

/** The hosts that an entry names itself. */
export function hostsOf(entry: RegistryEntry): readonly string[] {
  if (entry.type === "gar") return entry.hosts;
  return entry.host === undefined ? [] : [entry.host];
}

/** Whether the entry names the host itself. It is asked of thousands of entries in a row, so it makes no list. */
function names(entry: RegistryEntry, host: string): boolean {
  return entry.type === "gar" ? entry.hosts.includes(host) : entry.host === host;
}

/**
 * Finds what `registry` names: a host that an entry names (that one alone, although an entry's first host is its id
 * too), an entry's id, or a host of a cloud that an entry without hosts covers.
 * @throws Problem `registry-unknown`, or `registry-required` when the name alone does not tell which registry is meant
 */
export function selectRegistry(entries: readonly KnownEntry[], registry: string): Selected[] {
  const host = normalised(registry);
  const named = host === undefined ? undefined : entries.find(({ entry }) => names(entry, host));
  if (named) return [{ ...named, host }];
  const byId = entries.find(({ entry }) => entry.id === registry || entry.id === host);
  if (byId) return selectWhole(byId);
  if (host === undefined) throw unknown(entries);
  const covering = entries.filter(({ entry }) => hostsOf(entry).length === 0 && covers(entry, host));
  if (covering.length > 1) {
    const ids = someOf(covering.map(({ entry }) => entry.id));
    throw new Problem("registry-required", `Several entries cover this host. Name one of them by its id: ${ids}.`);
  }
  if (!covering[0]) throw unknown(entries);
  return [{ ...covering[0], host }];
}

/** An entry for each of its hosts. @throws Problem `registry-required` when it has none and cannot tell */
export function selectWhole(known: KnownEntry): Selected[] {
  const hosts = hostsOf(known.entry);
  if (hosts.length > 0) return hosts.map((host) => ({ ...known, host }));
  // ECR tells the host of the principal's own registry in its reply.
  if (known.entry.type === "aws") return [{ ...known, host: undefined }];
  const example = known.entry.type === "azure" ? "example.azurecr.io" : "europe-docker.pkg.dev";
  throw new Problem(
    "registry-required",
    `The entry ${known.entry.id} has no host of its own. Ask with "registry": "<host>" (such as ${example}), or give the entry its host.`,
  );
}

/**
 * Whether a line of a job's grants speaks of this registry. A host that the entry names is that host alone, although
 * the first of them is the entry's id as well.
 */
export function grantIsFor(grant: Grant, { entry, host }: Selected): boolean {
  const granted = normalised(grant.registry);
  if (granted !== undefined && hostsOf(entry).includes(granted)) return granted === host;
  if (grant.registry === entry.id) return true;
  return granted !== undefined && (granted === host || granted === entry.id);
}

/**
 * Whether a caller's grants speak of the registry with this host: by the host in any spelling, or by the id of an entry
 * that the host belongs to.
 * @param host - normalised
 */
export function grantsSpeakOf(entries: readonly KnownEntry[], grants: readonly Grant[], host: string): boolean {
  return (
    grants.some(({ registry }) => isSameHost(registry, host)) ||
    entries
      .filter(({ entry }) => hostsOf(entry).includes(host) || (hostsOf(entry).length === 0 && covers(entry, host)))
      .some((known) => grants.some((grant) => grantIsFor(grant, { ...known, host })))
  );
}

/** Whether two names are of one registry's host: case, the port 443 and the names of Docker Hub do not matter. */
export function isSameHost(one: string, other: string): boolean {
  return one === other || (normalised(one) !== undefined && normalised(one) === normalised(other));
}

function covers(entry: RegistryEntry, host: string): boolean {
  switch (entry.type) {
    case "aws":
      return ecrHost(host)?.region === entry.region;
    case "azure":
      return acrHost(host) !== undefined;
    case "gar":
      return isGarHost(host);
    case "generic":
      return false;
    default:
      return entry satisfies never;
  }
}

/** The first of these names, as a sentence lists them: `a, b and 5 more`. */
export function someOf(names: readonly string[], separator = ", "): string {
  const shown: string[] = [];
  let length = 0;
  for (const name of names.slice(0, maxListed)) {
    length += name.length;
    if (shown.length > 0 && length > maxListedLength) break;
    shown.push(name);
  }
  const more = names.length - shown.length;
  return `${shown.join(separator)}${more > 0 ? ` and ${more} more` : ""}`;
}

function normalised(text: string): string | undefined {
  const result = normaliseHost(text);
  return result.ok ? result.host : undefined;
}

function unknown(entries: readonly KnownEntry[]): Problem {
  const ids = entries.map(({ entry }) => entry.id);
  const known = ids.length === 0 ? "It has no entries yet: put a factory-config.yml." : `It has: ${someOf(ids)}.`;
  return new Problem("registry-unknown", `The factory config has no entry for this registry. ${known}`);
}

/** Those of these registries that no entry of the present config serves. None while the config cannot be read. */
export async function unservedRegistries(
  facts: Facts,
  factory: FactoryRef,
  registries: readonly string[],
): Promise<string[]> {
  if (registries.length === 0) return [];
  try {
    const known = await facts.of(factory);
    const unserved = unservedBy(known, registries);
    // An entry of a moment ago, published on another replica, must not be missed.
    if (unserved.length === 0 || !(await facts.areOutdated(known))) return unserved;
    return unservedBy(await facts.of(factory), registries);
  } catch (error) {
    if (error instanceof Problem && error.code === "invalid-config") return [];
    throw error;
  }
}

function unservedBy({ entries }: FactoryFacts, registries: readonly string[]): string[] {
  return [...new Set(registries)].filter((registry) => {
    try {
      selectRegistry(entries, registry);
      return false;
    } catch (error) {
      return error instanceof Problem && error.code === "registry-unknown";
    }
  });
}
