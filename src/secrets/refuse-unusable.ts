import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { Plaintext } from "../crypto/plaintext.js";
import { findUndeletable } from "./deleted/store.js";
import { isDelivered } from "./delivery/store.js";
import { type OpenDeps, openSecretVersion } from "./open-secret.js";
import { findHead } from "./versions/store.js";

/** `remembered` costs no statement, and can be behind a config that was just published. */
type Entries = "remembered" | "present";

/**
 * Why the entries that name a secret cannot work with a value: a sentence for each mistake, which never quotes the value.
 * `undefined` when no entry names it.
 */
export type MistakesFor = (
  factory: FactoryRef,
  name: string,
  value: Plaintext,
  entries: Entries,
) => Promise<readonly string[] | undefined>;

type Unusable = { mistakesFor: MistakesFor };
export type UnusableDeps = OpenDeps &
  Unusable & { entriesNaming(factory: FactoryRef, names: readonly string[]): Promise<string[]> };

export const allowUnusableRule =
  "Make it current although the registry entries that name the secret cannot use the value.";

/**
 * Refuses values that would become current and that the entries which name their secrets cannot use.
 * @returns the names that entries name
 * @throws Problem `secret-malformed`
 */
export async function refuseUnusable(
  { mistakesFor }: Unusable,
  factory: FactoryRef,
  values: readonly { name: string; value: Plaintext }[],
  entries: Entries,
): Promise<string[]> {
  const judged = await Promise.all(
    values.map(async ({ name, value }) => ({ name, mistakes: await mistakesFor(factory, name, value, entries) })),
  );
  const named = judged.flatMap(({ name, mistakes }) => (mistakes === undefined ? [] : [{ name, mistakes }]));
  const unusable = named.filter(({ mistakes }) => mistakes.length > 0);
  if (unusable.length > 0) throw unusableValues(unusable);
  return named.map(({ name }) => name);
}

/**
 * The same for a stored version that is about to become current. The value is opened, and forgotten. A version that may
 * be delivered to jobs is not opened: what an entry names is never delivered, so the change is refused for that.
 */
async function refuseUnusableVersion(
  deps: UnusableDeps,
  { factory, caller, name }: { factory: FactoryRef; caller: Caller; name: string },
  found: { id: string; version: number; sealed?: { dataKeyId: string; ciphertext: Buffer } | undefined },
): Promise<void> {
  const { id, version, sealed } = found;
  if (await isDelivered(deps.prisma, { secretId: id, version })) return;
  const secret = { id, name, version };
  const value = await openSecretVersion(deps, { factory, actor: actorOf(caller), secret, sealed });
  if (!value) return;
  try {
    await refuseUnusable(deps, factory, [{ name, value }], "present");
  } finally {
    value.erase();
  }
}

const isNamed = async (deps: UnusableDeps, { factory, name }: Target): Promise<boolean> =>
  (await deps.entriesNaming(factory, [name])).length > 0;

type Target = { factory: FactoryRef; caller: Caller; name: string };

/** Looks at one version of a secret. @throws Problem `secret-malformed`, and as `openSecretVersion` does */
export async function refuseUnusableStored(deps: UnusableDeps, target: Target & { version: number }): Promise<void> {
  if (!(await isNamed(deps, target))) return;
  const head = await findHead(deps.prisma, target.factory.id, target.name);
  if (head) await refuseUnusableVersion(deps, target, { id: head.id, version: target.version });
}

/** Looks at the version that a rollback goes back to. @returns its number; `undefined` when no entry names the secret */
export async function refuseUnusablePrevious(deps: UnusableDeps, target: Target): Promise<number | undefined> {
  if (!(await isNamed(deps, target))) return undefined;
  const head = await findHead(deps.prisma, target.factory.id, target.name);
  const version = head?.previousVersion ?? undefined;
  if (head && version !== undefined) await refuseUnusableVersion(deps, target, { id: head.id, version });
  return version;
}

/** Looks at the version with which a deleted secret comes back. */
export async function refuseUnusableDeleted(deps: UnusableDeps, target: Target, since: Date): Promise<void> {
  if (!(await isNamed(deps, target))) return;
  const found = await findUndeletable(deps.prisma, target.factory.id, target.name, since);
  if (found) await refuseUnusableVersion(deps, target, found);
}

function unusableValues(refused: readonly { name: string; mistakes: readonly string[] }[]): Problem {
  const sentences = refused.map(({ name, mistakes }) => {
    const shown = mistakes.slice(0, 3).join(" ").replaceAll("NAME==FILE", `${name}==FILE`);
    const more = mistakes.length > 3 ? ` (${mistakes.length - 3} more)` : "";
    return `The value of "${name}" cannot be used by the registry entries that name it. ${shown}${more}`;
  });
  return new Problem(
    "secret-malformed",
    `${sentences.join(" ")} Nothing was changed. To make it current all the same, use the API with allowUnusable=true.`,
  );
}
