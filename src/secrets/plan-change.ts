import { randomUUID } from "node:crypto";
import { Problem } from "../core/problem.js";
import { fingerprint, sealSecret } from "../crypto/envelope.js";
import type { Plaintext } from "../crypto/plaintext.js";
import type { Precondition } from "../http/preconditions.js";
import { type Deliverer, deliverabilityOf } from "./delivery/deliverability.js";
import type { SecretChange, SecretHead } from "./secret-change.js";
import type { UnwrappedKeys } from "./unwrapped-keys.js";

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

type Seeing = {
  head: SecretHead | undefined;
  precondition: Precondition;
  caller: Deliverer;
  /** As in the change. */
  judged: boolean;
};

/**
 * What has to be written so that the item comes true, seen from `head`: the secret as it is now, if it is.
 * `undefined` when nothing has to. The value is sealed for its place.
 * @throws Problem `forbidden` when it would turn delivery to jobs on and the caller may not, `key-unavailable`, `precondition-failed`, `conflict` when it is not what the item has `seen`, `not-found` when there is no secret to stage a version of
 */
export function planChange(
  keys: UnwrappedKeys,
  factoryId: string,
  item: SecretItem,
  { head, precondition, caller, judged }: Seeing,
): SecretChange | undefined {
  if (item.op === "put" && item.seen) checkSeen(item.seen, head);
  checkPrecondition(precondition, head);
  const ifVersion = typeof precondition === "number" ? precondition : null;
  const nothing = {
    if_destroyed: null,
    data_key_id: null,
    ciphertext: null,
    fingerprint: null,
    fingerprint_key_id: null,
    restored_from: null,
    description: null,
    expires_at: null,
    judged: true,
    deliver_to_jobs: false,
    if_deliver_to_jobs: null,
  };
  if (item.op === "delete") {
    if (!head) return undefined;
    const { id, nextVersion, name } = head;
    return {
      op: "delete",
      secret_id: id,
      name,
      version: nextVersion,
      if_version: ifVersion,
      forced: item.forced,
      purged: item.purged ?? false,
      ...nothing,
    };
  }
  const place = { factoryId, secretId: head?.id ?? randomUUID(), version: head?.nextVersion ?? 1 };
  const value = item.value.revealBytes();
  return {
    op: opOf(item, head),
    secret_id: place.secretId,
    name: item.name,
    version: place.version,
    if_version: ifVersion,
    if_destroyed: item.seen?.destroyedVersions ?? null,
    forced: false,
    purged: false,
    data_key_id: keys.seal.id,
    ciphertext: sealSecret(keys.seal, place, value).toString("base64"),
    fingerprint: fingerprint(keys.fingerprint.bytes, value).toString("base64"),
    fingerprint_key_id: keys.fingerprint.id,
    restored_from: item.restoredFrom ?? null,
    description: item.description ?? null,
    expires_at: item.expiresAt ?? null,
    judged,
    deliver_to_jobs: deliverabilityOf(item, head, caller),
    if_deliver_to_jobs: head?.deliverToJobs ?? null,
  };
}

function checkSeen({ id, nextVersion, destroyedVersions }: Seen, head: SecretHead | undefined): void {
  const isSame = head?.id === id && head.nextVersion === nextVersion && head.destroyedVersions === destroyedVersions;
  if (!isSame) throw changedMeanwhile();
}

export const changedMeanwhile = (): Problem =>
  new Problem("conflict", "Others write this secret at the same time. Try again.", { retryAfterSeconds: 1 });

function opOf(item: Extract<SecretItem, { op: "put" }>, head: SecretHead | undefined): "create" | "update" | "stage" {
  if (!item.staged) return head ? "update" : "create";
  if (head) return "stage";
  throw new Problem("not-found", `There is no secret "${item.name}" to stage a version of. Create it without stage.`);
}

function checkPrecondition(precondition: Precondition, head: SecretHead | undefined): void {
  if (precondition === "absent" && head) {
    throw new Problem("precondition-failed", `The secret "${head.name}" exists, at version ${head.currentVersion}.`);
  }
  if ((precondition === "present" || typeof precondition === "number") && !head) {
    throw new Problem("precondition-failed", "The secret does not exist, so it has no version to match.");
  }
}
