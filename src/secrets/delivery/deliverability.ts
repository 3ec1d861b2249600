import type { Caller } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";

/** What is asked of a caller before a value may go to jobs. */
export type Deliverer = Pick<Caller, "permissions">;

/** What an operation makes of the current version of a secret. */
type Step = {
  /** An entry of the factory config names the secret. */
  named: boolean;
  /** Whether the current version may be delivered to jobs. `false` where there is none. */
  before: boolean;
  /** Whether the version that takes its place may. */
  after: boolean;
};

/**
 * Judges a step after which another version is current. A write that does not say keeps what the current version says,
 * so a caller without `secrets:deliver` must not make a deliverable version current either: the next value that
 * somebody stores would be delivered.
 * @throws Problem `secret-in-use` when an entry names the secret; `forbidden` when delivery is turned on and the caller
 *   lacks `secrets:deliver`
 */
export function checkDelivery(caller: Deliverer, { named, before, after }: Step): void {
  if (!after) return;
  if (named) throw namedIsNotDelivered();
  if (!before) checkMayDeliver(caller);
}

/**
 * Whether the version that a write makes may be delivered to jobs: what the write says, else what the current version
 * says, else `false`. To say `true` takes `secrets:deliver`, even where it is so already. A restored version has the
 * flag of the one that it repeats, and is judged as a step.
 * @throws Problem `forbidden`
 */
export function deliverabilityOf(
  item: { deliverToJobs?: boolean | undefined; restoredFrom?: number },
  head: { deliverToJobs: boolean } | undefined,
  caller: Deliverer,
): boolean {
  const before = head?.deliverToJobs ?? false;
  const after = item.deliverToJobs ?? before;
  const isSaid = item.restoredFrom === undefined && item.deliverToJobs === true;
  if (after && (isSaid || !before)) checkMayDeliver(caller);
  return after;
}

function checkMayDeliver(caller: Deliverer): void {
  if (caller.permissions.has("secrets:deliver")) return;
  throw new Problem(
    "forbidden",
    "This would let jobs have the value (deliverToJobs), and this credential lacks secrets:deliver. Ask someone who has it, or store the value without deliverToJobs.",
  );
}

export const namedIsNotDelivered = (): Problem =>
  new Problem(
    "secret-in-use",
    "An entry of the factory config names this secret, so its value is never delivered to jobs. Take the secret out of the config first, or store a value with deliverToJobs false.",
  );
