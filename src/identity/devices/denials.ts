import type { Actor, Caller } from "../../core/caller.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import { withdrawnCertificate, withdrawnDevice } from "../../db/withdrawals.js";
import { olderThan, type PageStart } from "../../http/page.js";

/** What is denied: a device, or one certificate of an authority. */
export type Denied = { deviceId: string } | { authorityId: string; serial: string };

export type NewDenial = {
  id: string;
  factoryId: string;
  denied: Denied;
  reason: string | undefined;
  at: Date;
  actor: Actor;
};

/** Call `holdFactory` first, in the same transaction, and `denialsLike`. */
export async function insertDenial(transaction: Transaction, denial: NewDenial) {
  const { id, factoryId, denied, reason, at, actor } = denial;
  return transaction.deniedDevice.create({
    data: {
      id,
      factoryId,
      ...denied,
      reason: reason ?? null,
      createdAt: at,
      createdByKind: actor.kind,
      createdById: actor.id,
      createdByName: actor.name,
    },
  });
}

/** How many denials the factory has, and whether this is one of them. */
export async function denialsLike(
  transaction: Transaction,
  factoryId: string,
  denied: Denied,
): Promise<{ count: number; exists: boolean }> {
  const same = await transaction.deniedDevice.findFirst({ select: { id: true }, where: { factoryId, ...denied } });
  return { count: await transaction.deniedDevice.count({ where: { factoryId } }), exists: same !== null };
}

/** Denials of a factory, newest first; one more than the page has. */
export async function listDenials(prisma: PrismaClient, input: { factoryId: string; page: PageStart }) {
  return prisma.deniedDevice.findMany({
    where: { factoryId: input.factoryId, AND: olderThan(input.page.after) },
    orderBy: [{ createdAt: "desc" }, { id: "desc" }],
    take: input.page.size + 1,
  });
}

/** @returns what was denied, or `undefined` when the factory has no such denial */
export async function deleteDenial(transaction: Transaction, factoryId: string, id: string) {
  const denial = await transaction.deniedDevice.findFirst({ where: { id, factoryId } });
  if (denial === null) return undefined;
  await transaction.deniedDevice.delete({ where: { id } });
  return denial;
}

export type DenialRow = Awaited<ReturnType<typeof insertDenial>>;

/** What `Withdrawals` says when this is denied. */
export function announcedDenial(factoryId: string, denied: Denied): string {
  return "deviceId" in denied
    ? withdrawnDevice(factoryId, denied.deviceId)
    : withdrawnCertificate(denied.authorityId, denied.serial);
}

/** What `Withdrawals` says when this device, or its certificate, is denied. */
export function denialsOf({ id, factory, evidence, authorities = [] }: Caller): string[] {
  if (!factory || !evidence || !("authority" in evidence)) return [];
  const { serial } = evidence;
  return [withdrawnDevice(factory.id, id), ...authorities.map((authority) => withdrawnCertificate(authority, serial))];
}
