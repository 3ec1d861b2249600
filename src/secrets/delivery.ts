import type { Caller } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient, Transaction } from "../db/database.js";

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
 * @returns `secret-in-use` when an entry names the secret; `forbidden` when delivery is turned on and the caller lacks
 *   `secrets:deliver`
 */
export function deliveryRefusal(caller: Deliverer, { named, before, after }: Step): Problem | undefined {
  if (!after) return undefined;
  if (named) return namedIsNotDelivered();
  return before || caller.permissions.has("secrets:deliver") ? undefined : mayNotDeliver();
}

/** @throws Problem as `deliveryRefusal` gives it */
export function checkDelivery(caller: Deliverer, step: Step): void {
  const refusal = deliveryRefusal(caller, step);
  if (refusal) throw refusal;
}

const mayNotDeliver = (): Problem =>
  new Problem(
    "forbidden",
    "This would let jobs have the value (deliverToJobs), and this credential lacks secrets:deliver. Ask someone who has it, or store the value without deliverToJobs.",
  );

export const namedIsNotDelivered = (): Problem =>
  new Problem(
    "secret-in-use",
    "An entry of the factory config names this secret, so its value is never delivered to jobs. Take the secret out of the config first, or store a value with deliverToJobs false.",
  );

/** What the current version of each says. No version starts to say so later, so a second statement cannot show too much. */
export async function withDeliverability<T extends { id: string; currentVersion: number }>(
  prisma: PrismaClient,
  rows: readonly T[],
): Promise<(T & { deliverToJobs: boolean })[]> {
  const delivered = await prisma.secretVersion.findMany({
    select: { secretId: true, version: true },
    where: { secretId: { in: rows.map(({ id }) => id) }, deliverToJobs: true },
  });
  const keys = new Set(delivered.map(({ secretId, version }) => `${secretId}/${version}`));
  return rows.map((row) => ({ ...row, deliverToJobs: keys.has(`${row.id}/${row.currentVersion}`) }));
}

/** Whether a version may be delivered to jobs. */
export async function isDelivered(
  prisma: PrismaClient | Transaction,
  { secretId, version }: { secretId: string; version: number },
): Promise<boolean> {
  return (await prisma.secretVersion.count({ where: { secretId, version, deliverToJobs: true } })) > 0;
}
