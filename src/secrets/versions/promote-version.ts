import type { Caller } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import type { Transaction } from "../../db/database.js";
import { checkDelivery, isDelivered } from "../delivery.js";

import { changedMeanwhile } from "../plan-change.js";
import { onceJudged, refuseUnusablePrevious, type UnusableDeps } from "../refuse-unusable.js";
import { changeVersion, checkPrecondition, noSecret, type VersionDeps, type VersionInput } from "./change-version.js";
import { findHead, findVersion, type HeldSecret, setCurrent, stageAgain, unstage } from "./store.js";

/** The current version of a secret after an operation, and the one before. */
export type Current = { name: string; version: number; previousVersion?: number };

/**
 * Makes a staged version the current one. The one before stays, for a rollback, and so do the tokens minted from it.
 * @throws Problem `not-found`, `precondition-failed`, `version-unsuitable` when that version is not staged; as
 *   `checkDelivery` when that version may be delivered to jobs
 */
export function promoteVersion(deps: VersionDeps, input: VersionInput & { version: number }): Promise<Current> {
  const { name, version } = input;
  return changeVersion(deps, input, async (transaction, secret, at) => {
    const row = await findVersion(transaction, secret.id, version);
    if (!row) throw new Problem("not-found", `There is no version ${version} of the secret "${name}".`);
    if (!row.staged) throw notStaged(version);
    const { deliverToJobs } = row;
    await checkNewCurrent(transaction, input.caller, secret, deliverToJobs);
    const previousVersion = secret.currentVersion;
    // Without a note of its own it keeps the secret's, as a write does.
    const expiresAt = row.expiresAt ?? secret.expiresAt;
    await setCurrent(transaction, secret.id, { version, previousVersion, expiresAt, deliverToJobs, at });
    await unstage(transaction, secret.id, version, expiresAt);
    return {
      event: { action: "secret.promoted", secret: name, secretVersion: version, previousVersion, deliverToJobs },
      changesCurrent: true,
      result: { name, version, previousVersion },
    };
  });
}

export type TriedPromotionDeps = VersionDeps & {
  /** Tries the version where it is to be used. @throws Problem when it does not pass */
  tryBeforePromotion(input: VersionInput & { version: number }): Promise<void>;
};

/**
 * The same for a version that is tried first, outside of any transaction. What a version holds never changes, so what
 * was tried is what is promoted.
 * @throws Problem as `promoteVersion`, and `version-unsuitable` when it does not pass
 */
export async function promoteTriedVersion(
  deps: TriedPromotionDeps,
  input: VersionInput & { version: number },
): Promise<Current> {
  const { factory, name, version, precondition } = input;
  const secret = await findHead(deps.prisma, factory.id, name);
  if (!secret) throw noSecret(name);
  checkPrecondition(precondition, secret.currentVersion);
  const row = await findVersion(deps.prisma, secret.id, version);
  // Nothing is sent anywhere for a promotion that cannot be.
  if (row && !row.staged) throw notStaged(version);
  await deps.tryBeforePromotion(input);
  return promoteVersion(deps, input);
}

/**
 * Goes back to the version that was current before, once: the one that it leaves is staged again, and there is nothing
 * further to go back to, so that a rollback sent twice does not undo itself.
 * @throws Problem `not-found`, `precondition-failed`, `conflict`, `version-unsuitable` when there is nothing to go back to; as
 *   `checkDelivery` when that version may be delivered to jobs
 */
export function rollBack(
  deps: VersionDeps,
  /** `expected`: the version that was looked at before. Absent: any. */
  input: VersionInput & { expected?: number | undefined },
): Promise<Current> {
  const { name, expected } = input;
  return changeVersion(deps, input, async (transaction, secret, at) => {
    const { previousVersion: version, currentVersion: left } = secret;
    const row = version === null ? undefined : await findVersion(transaction, secret.id, version);
    if (version === null || !row || row.destroyedAt) throw nothingBefore(name);
    if (expected !== undefined && expected !== version) throw changedMeanwhile();
    const { deliverToJobs, expiresAt } = row;
    await checkNewCurrent(transaction, input.caller, secret, deliverToJobs);
    await setCurrent(transaction, secret.id, { version, previousVersion: null, expiresAt, deliverToJobs, at });
    await stageAgain(transaction, secret.id, left);
    return {
      event: {
        action: "secret.rolled-back",
        secret: name,
        secretVersion: version,
        previousVersion: left,
        deliverToJobs,
      },
      changesCurrent: true,
      result: { name, version },
    };
  });
}

/** The secret is held, so its current version stays the current one until the transaction ends. */
async function checkNewCurrent(
  transaction: Transaction,
  caller: Caller,
  { id, currentVersion, named }: HeldSecret,
  after: boolean,
): Promise<void> {
  const before = await isDelivered(transaction, { secretId: id, version: currentVersion });
  checkDelivery(caller, { named, before, after });
}

/**
 * The same for a version that is looked at first. Where another became the one before meanwhile, or there is another
 * config, it looks again.
 * @throws Problem as `rollBack`, and `secret-malformed` when the entries that name the secret cannot use its value
 */
export function rollBackUsable(deps: VersionDeps & UnusableDeps, input: VersionInput): Promise<Current> {
  return onceJudged(
    () => refuseUnusablePrevious(deps, input),
    (judged) => rollBack(deps, { ...input, ...judged }),
  );
}

const notStaged = (version: number): Problem =>
  new Problem(
    "version-unsuitable",
    `Version ${version} is not staged. To make an older one the newest, restore it; to undo the last change, roll back.`,
  );

const nothingBefore = (name: string): Problem =>
  new Problem(
    "version-unsuitable",
    `The secret "${name}" has no version to go back to. List its versions, and restore one of them.`,
  );
