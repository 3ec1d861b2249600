import { randomUUID } from "node:crypto";
import { Problem } from "../core/problem.js";
import { fingerprint, sealSecret } from "../crypto/envelope.js";
import type { Plaintext } from "../crypto/plaintext.js";
import { notCurrent, type Precondition } from "../http/preconditions.js";
import { type Deliverer, deliveryRefusal } from "./delivery.js";
import type { UnwrappedKeys } from "./factory-keys.js";
import type { SecretChange, SecretHead } from "./write-statement.js";

type Seen = Pick<SecretHead, "id" | "nextVersion" | "destroyedVersions">;

/**
 * A new version of a secret, or its deletion. Fields that are absent stay as they were; `deliverToJobs`, as the current
 * version says. A staged version is not current until it is promoted.
 */
export type SecretItem =
  | {
      op: "put";
      name: string;
      value: Plaintext;
      description?: string | undefined;
      expiresAt?: string | undefined;
      deliverToJobs?: boolean | undefined;
      staged?: true;
      restoredFrom?: number;
      /** Only if it is this secret still, with no version more and none destroyed. */
      seen?: Seen;
    }
  | { op: "delete"; name: string; forced: boolean; purged?: boolean };

/** The secret as it is now, if it is, and what the request says beside the item. */
type Judged = { head: SecretHead | undefined; precondition: Precondition; caller: Deliverer };

/**
 * Judges whether an item may be written over `head`. The statement that writes it compares only that the secret is
 * still this head, so no rule is said twice. `head` may come from memory: before a caller is told, it is read again.
 * @returns `undefined` when it may; `in-use` for a deletion of what an entry names
 */
export function refusalOf(item: SecretItem, { head, precondition, caller }: Judged): Problem | "in-use" | undefined {
  if (item.op === "put" && item.seen && !isSeen(item.seen, head)) return changedMeanwhile();
  const failed = failedPrecondition(precondition, head);
  if (failed) return failed;
  if (item.op === "delete") return head?.named && !item.forced ? "in-use" : undefined;
  if (item.staged && !head) {
    return new Problem(
      "not-found",
      `There is no secret "${item.name}" to stage a version of. Create it without stage.`,
    );
  }
  // To say `true` takes the permission even where it is so already. A restored version has the flag of the one that it
  // repeats, and is judged as a step.
  const isSaid = item.restoredFrom === undefined && item.deliverToJobs === true;
  const before = !isSaid && (head?.deliverToJobs ?? false);
  return deliveryRefusal(caller, { named: head?.named ?? false, before, after: deliverToJobsOf(item, head) });
}

/** What has to be written so that the item comes true, sealed for its place; `undefined` when nothing has to. */
export function planChange(
  keys: UnwrappedKeys,
  factoryId: string,
  item: SecretItem,
  { head, judgedBy }: { head: SecretHead | undefined; judgedBy: number | undefined },
): SecretChange | undefined {
  const seen = {
    seen_current: head?.currentVersion ?? null,
    seen_destroyed: head?.destroyedVersions ?? null,
    seen_named: head?.named ?? null,
    seen_deliver_to_jobs: head?.deliverToJobs ?? null,
  };
  const nothing = {
    data_key_id: null,
    ciphertext: null,
    fingerprint: null,
    fingerprint_key_id: null,
    restored_from: null,
    description: null,
    expires_at: null,
    deliver_to_jobs: false,
    judged_by: null,
  };
  if (item.op === "delete") {
    if (!head) return undefined;
    const { id, nextVersion, name } = head;
    const { forced, purged = false } = item;
    return { op: "delete", secret_id: id, name, version: nextVersion, ...seen, forced, purged, ...nothing };
  }
  const place = { factoryId, secretId: head?.id ?? randomUUID(), version: head?.nextVersion ?? 1 };
  const value = item.value.revealBytes();
  return {
    op: item.staged ? "stage" : head ? "update" : "create",
    secret_id: place.secretId,
    name: item.name,
    version: place.version,
    ...seen,
    forced: false,
    purged: false,
    data_key_id: keys.seal.id,
    ciphertext: sealSecret(keys.seal, place, value).toString("base64"),
    fingerprint: fingerprint(keys.fingerprint.bytes, value).toString("base64"),
    fingerprint_key_id: keys.fingerprint.id,
    restored_from: item.restoredFrom ?? null,
    description: item.description ?? null,
    expires_at: item.expiresAt ?? null,
    deliver_to_jobs: deliverToJobsOf(item, head),
    judged_by: judgedBy ?? null,
  };
}

/** What the write says, else what the current version says. */
function deliverToJobsOf(item: Extract<SecretItem, { op: "put" }>, head: SecretHead | undefined): boolean {
  return item.deliverToJobs ?? head?.deliverToJobs ?? false;
}

function isSeen({ id, nextVersion, destroyedVersions }: Seen, head: SecretHead | undefined): boolean {
  return head?.id === id && head.nextVersion === nextVersion && head.destroyedVersions === destroyedVersions;
}

export const changedMeanwhile = (): Problem =>
  new Problem("conflict", "Others write this secret at the same time. Try again.", { retryAfterSeconds: 1 });

function failedPrecondition(precondition: Precondition, head: SecretHead | undefined): Problem | undefined {
  if (precondition === undefined) return undefined;
  if (precondition === "absent") {
    if (!head) return undefined;
    return new Problem("precondition-failed", `The secret "${head.name}" exists, at version ${head.currentVersion}.`);
  }
  if (!head) return new Problem("precondition-failed", "The secret does not exist, so it has no version to match.");
  const isOther = precondition !== "present" && precondition !== head.currentVersion;
  return isOther ? notCurrent(head.currentVersion, precondition) : undefined;
}
