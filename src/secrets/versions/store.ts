import type { PrismaClient, Transaction } from "../../db/database.js";
import type { PageStart } from "../../http/page.js";

/** A secret as an operation on its versions sees it. */
export type HeldSecret = {
  id: string;
  named: boolean;
  currentVersion: number;
  nextVersion: number;
  destroyedVersions: number;
  previousVersion: number | null;
  currentSince: Date | null;
  expiresAt: Date | null;
  /** For how long the previous version is not destroyed without force. */
  graceSeconds: number;
};

const held = {
  id: true,
  named: true,
  currentVersion: true,
  nextVersion: true,
  destroyedVersions: true,
  previousVersion: true,
  currentSince: true,
  expiresAt: true,
  factory: { select: { rotationGraceSeconds: true } },
} as const;

export async function findHead(
  prisma: PrismaClient | Transaction,
  factoryId: string,
  name: string,
): Promise<HeldSecret | undefined> {
  const row = await prisma.secret.findFirst({ select: held, where: { factoryId, name, deletedAt: null } });
  if (!row) return undefined;
  const { factory, ...head } = row;
  return { ...head, graceSeconds: factory.rotationGraceSeconds };
}

/**
 * Locks a secret until the transaction ends, as its writers do, and reads it under the lock. Whoever needs the factory's
 * row too takes it after this.
 */
export async function holdSecret(
  transaction: Transaction,
  factoryId: string,
  name: string,
): Promise<HeldSecret | undefined> {
  for (;;) {
    const [locked] = await transaction.$queryRawUnsafe<{ id: string }[]>(
      "SELECT id FROM secrets WHERE factory_id = $1::uuid AND name = $2::text AND deleted_at IS NULL FOR UPDATE",
      factoryId,
      name,
    );
    const head = await findHead(transaction, factoryId, name);
    // Deleted and made again while this one waited: what is there now is another secret, and not locked.
    if (head?.id === locked?.id) return head;
  }
}

const shown = {
  version: true,
  fingerprint: true,
  staged: true,
  deliverToJobs: true,
  restoredFrom: true,
  expiresAt: true,
  destroyedAt: true,
  createdAt: true,
  createdByName: true,
} as const;

/** Versions without their ciphertext, newest first; one more than the page has. */
export async function listVersions(prisma: PrismaClient, secretId: string, { size, after }: PageStart) {
  return prisma.secretVersion.findMany({
    select: shown,
    where: { secretId, ...(after && { version: { lt: Number(after[0]) } }) },
    orderBy: { version: "desc" },
    take: size + 1,
  });
}

/** One version of a secret that is not deleted. */
export async function findVersion(prisma: PrismaClient | Transaction, secretId: string, version: number) {
  const where = { secretId, version, secret: { deletedAt: null } };
  return (await prisma.secretVersion.findFirst({ select: shown, where })) ?? undefined;
}

/** Makes a version the current one. Call `holdSecret` first, in the same transaction. */
export async function setCurrent(
  transaction: Transaction,
  secretId: string,
  to: {
    version: number;
    previousVersion: number | null;
    expiresAt: Date | null;
    /** Of that version. */
    deliverToJobs: boolean;
    at: Date;
  },
): Promise<void> {
  await transaction.secret.update({
    where: { id: secretId },
    data: {
      currentVersion: to.version,
      previousVersion: to.previousVersion,
      currentSince: to.at,
      updatedAt: to.at,
      expiresAt: to.expiresAt,
      deliverToJobs: to.deliverToJobs,
    },
  });
}

/** A version leaves the stage, with the note of when its credential ends. */
export async function unstage(
  transaction: Transaction,
  secretId: string,
  version: number,
  expiresAt: Date | null,
): Promise<void> {
  await transaction.secretVersion.updateMany({ where: { secretId, version }, data: { staged: false, expiresAt } });
}

/** A version can be promoted from now on. */
export async function stageAgain(transaction: Transaction, secretId: string, version: number): Promise<void> {
  await transaction.secretVersion.updateMany({ where: { secretId, version }, data: { staged: true } });
}

/** Empties a version for good. Its number stays. */
export async function emptyVersion(
  transaction: Transaction,
  secretId: string,
  version: number,
  at: Date,
): Promise<void> {
  const nothing = new Uint8Array(0);
  await transaction.secretVersion.update({
    where: { secretId_version: { secretId, version } },
    data: { ciphertext: nothing, fingerprint: nothing, staged: false, destroyedAt: at },
  });
  await transaction.secret.update({ where: { id: secretId }, data: { destroyedVersions: { increment: 1 } } });
}

/**
 * Token answers may differ from now on.
 * @param configVersion - only if that is the current config; 0 for none
 * @returns the new generation, or `undefined` when the factory is gone or has another config
 */
export async function raiseGeneration(
  transaction: Transaction,
  factoryId: string,
  configVersion: number | undefined,
): Promise<bigint | undefined> {
  const isJudged = configVersion !== undefined && { configVersion: configVersion === 0 ? null : configVersion };
  const [raised] = await transaction.factory.updateManyAndReturn({
    select: { generation: true },
    where: { id: factoryId, deletedAt: null, ...isJudged },
    data: { generation: { increment: 1 } },
  });
  return raised?.generation;
}
