import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { Plaintext } from "../crypto/plaintext.js";
import { findUndeletable } from "./deleted/undelete-secret.js";
import { isDelivered } from "./delivery.js";
import { type OpenDeps, openSecretVersion } from "./open-secret.js";
import { findHead } from "./versions/store.js";

/** Why the entries that name a secret cannot work with a value: a sentence for each mistake, which never quotes the value. */
export type MistakesFor = (factory: FactoryRef, name: string, value: Plaintext) => Promise<readonly string[]>;

/**
 * The version of the config that `mistakesFor` judges by, or an older one when it is asked before: 0 for none. A value
 * becomes current only while that is the config still, if an entry names its secret by then.
 */
export type ConfigVersion = (factory: FactoryRef, isRead: "anew" | "as remembered") => Promise<number>;

type Unusable = { mistakesFor: MistakesFor; configVersion: ConfigVersion };
export type UnusableDeps = OpenDeps &
  Unusable & { entriesNaming(factory: FactoryRef, names: readonly string[]): Promise<string[]> };

export const allowUnusableRule =
  "Make it current although the registry entries that name the secret cannot use the value.";

/**
 * Refuses values that would become current and that the entries which name their secrets cannot use.
 * @returns the version of the config that they were judged by
 * @throws Problem `secret-malformed`
 */
export async function refuseUnusable(
  { mistakesFor, configVersion }: Unusable,
  factory: FactoryRef,
  values: readonly { name: string; value: Plaintext }[],
  isRead: "anew" | "as remembered" = "as remembered",
): Promise<number> {
  const judgedBy = await configVersion(factory, isRead);
  const refused = await Promise.all(
    values.map(async ({ name, value }) => ({ name, mistakes: await mistakesFor(factory, name, value) })),
  );
  const unusable = refused.filter(({ mistakes }) => mistakes.length > 0);
  if (unusable.length > 0) throw unusableValues(unusable);
  return judgedBy;
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
    await refuseUnusable(deps, factory, [{ name, value }]);
  } finally {
    value.erase();
  }
}

const isNamed = async (deps: UnusableDeps, { factory, name }: Target): Promise<boolean> =>
  (await deps.entriesNaming(factory, [name])).length > 0;

type Target = { factory: FactoryRef; caller: Caller; name: string };

/**
 * Looks at one version of a secret.
 * @returns the version of the config that it was judged by
 * @throws Problem `secret-malformed`, and as `openSecretVersion` does
 */
export async function refuseUnusableStored(deps: UnusableDeps, target: Target & { version: number }): Promise<number> {
  const judgedBy = await deps.configVersion(target.factory, "anew");
  if (!(await isNamed(deps, target))) return judgedBy;
  const head = await findHead(deps.prisma, target.factory.id, target.name);
  if (head) await refuseUnusableVersion(deps, target, { id: head.id, version: target.version });
  return judgedBy;
}

/** Looks at the version that a rollback goes back to. @returns its number too; `undefined` when no entry names the secret */
export async function refuseUnusablePrevious(
  deps: UnusableDeps,
  target: Target,
): Promise<{ judgedBy: number; expected: number | undefined }> {
  const judgedBy = await deps.configVersion(target.factory, "anew");
  if (!(await isNamed(deps, target))) return { judgedBy, expected: undefined };
  const head = await findHead(deps.prisma, target.factory.id, target.name);
  const expected = head?.previousVersion ?? undefined;
  if (head && expected !== undefined) await refuseUnusableVersion(deps, target, { id: head.id, version: expected });
  return { judgedBy, expected };
}

/** Looks at the version with which a deleted secret comes back. @returns the version of the config that it was judged by */
export async function refuseUnusableDeleted(deps: UnusableDeps, target: Target, since: Date): Promise<number> {
  const judgedBy = await deps.configVersion(target.factory, "anew");
  if (!(await isNamed(deps, target))) return judgedBy;
  const found = await findUndeletable(deps.prisma, target.factory.id, target.name, since);
  if (found) await refuseUnusableVersion(deps, target, found);
  return judgedBy;
}

const maxAttempts = 20;

/**
 * Judges a stored version and makes it current, anew where something that it was judged by has changed in between.
 * @throws what `judge` and `change` throw
 */
export async function onceJudged<Judged, Result>(
  judge: () => Promise<Judged>,
  change: (judged: Judged) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    const judged = await judge();
    try {
      return await change(judged);
    } catch (error) {
      const isLost = error instanceof Problem && error.code === "conflict";
      if (!isLost || attempt === maxAttempts) throw error;
    }
  }
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
