import type { Actor } from "../../core/caller.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import { olderThan, type PageStart } from "../../http/page.js";
import type { DevicePolicy } from "./contract.js";

/**
 * Takes the factory for a change of who its devices are: one change at a time. A change of an authority raises the
 * generation; a denial costs only who is denied, and replicas notice by its row (`Withdrawals`).
 * @param change.makerId - the credential on whose behalf it is made, held so that a withdrawal waits for this and this
 * for it
 * @returns the generation that the factory has then, or what ended in the meantime
 */
export async function holdFactory(
  transaction: Transaction,
  { factoryId, makerId, raises }: { factoryId: string; makerId: string; raises: boolean },
): Promise<bigint | "maker-withdrawn" | "factory-gone"> {
  const maker = await transaction.$queryRawUnsafe<unknown[]>(
    "SELECT id FROM credentials WHERE id = $1::uuid AND revoked_at IS NULL FOR SHARE",
    makerId,
  );
  if (maker.length === 0) return "maker-withdrawn";
  const [held] = await transaction.$queryRawUnsafe<{ generation: bigint }[]>(
    raises
      ? "UPDATE factories SET generation = generation + 1 WHERE id = $1::uuid AND deleted_at IS NULL RETURNING generation"
      : "SELECT generation FROM factories WHERE id = $1::uuid AND deleted_at IS NULL FOR NO KEY UPDATE",
    factoryId,
  );
  return held?.generation ?? "factory-gone";
}

export type NewAuthority = {
  id: string;
  factoryId: string;
  name: string;
  fingerprint: Buffer;
  /** `subjectHash` of the root and the intermediates: how an authority is found for what a device presents. */
  subjects: readonly string[];
  certificates: string;
  policy: DevicePolicy;
  at: Date;
  actor: Actor;
};

/** Call `holdFactory` first, in the same transaction, and `authoritiesLike`. */
export async function insertAuthority(transaction: Transaction, authority: NewAuthority) {
  const { id, factoryId, name, certificates, policy, at, actor } = authority;
  return transaction.deviceAuthority.create({
    data: {
      id,
      factoryId,
      name,
      fingerprint: new Uint8Array(authority.fingerprint),
      subjects: [...authority.subjects],
      certificates,
      policy,
      createdAt: at,
      updatedAt: at,
      createdByKind: actor.kind,
      createdById: actor.id,
      createdByName: actor.name,
    },
  });
}

/** How many authorities the factory has, and which of them (other than `id`) has this name or this root. */
export async function authoritiesLike(
  transaction: Transaction,
  like: { factoryId: string; id: string; name: string; fingerprint: Buffer },
): Promise<{ count: number; hasName: boolean; hasRoot: boolean }> {
  const rows = await transaction.deviceAuthority.findMany({
    select: { id: true, name: true, fingerprint: true },
    where: { factoryId: like.factoryId },
  });
  const others = rows.filter(({ id }) => id !== like.id);
  return {
    count: rows.length,
    hasName: others.some(({ name }) => name === like.name),
    hasRoot: others.some(({ fingerprint }) => like.fingerprint.equals(fingerprint)),
  };
}

export async function findAuthority(client: PrismaClient | Transaction, factoryId: string, id: string) {
  return client.deviceAuthority.findFirst({ where: { id, factoryId } });
}

export type AuthorityRow = NonNullable<Awaited<ReturnType<typeof findAuthority>>>;

/** Authorities of a factory, newest first; one more than the page has. */
export async function listAuthorities(prisma: PrismaClient, input: { factoryId: string; page: PageStart }) {
  return prisma.deviceAuthority.findMany({
    omit: { revocationLists: true },
    where: { factoryId: input.factoryId, AND: olderThan(input.page.after) },
    orderBy: [{ createdAt: "desc" }, { id: "desc" }],
    take: input.page.size + 1,
  });
}

/** How many bytes the authorities are that `listAuthorities` gives for this page. */
export async function weighAuthorities(
  prisma: PrismaClient,
  { factoryId, page }: { factoryId: string; page: PageStart },
): Promise<number[]> {
  const [time, id] = page.after ?? [];
  const rows = await prisma.$queryRawUnsafe<{ bytes: number }[]>(
    `SELECT octet_length(policy::text) + octet_length(certificates) AS bytes FROM device_authorities
     WHERE factory_id = $1::uuid AND ($2::timestamptz IS NULL OR (created_at, id) < ($2::timestamptz, $3::uuid))
     ORDER BY created_at DESC, id DESC LIMIT $4`,
    factoryId,
    time ?? null,
    id ?? null,
    page.size + 1,
  );
  return rows.map(({ bytes }) => bytes);
}

/** Changes what is given, and makes that the next version. */
export async function updateAuthority(
  transaction: Transaction,
  id: string,
  change: { name?: string; policy?: DevicePolicy; revocationLists?: readonly Buffer[]; at: Date },
): Promise<AuthorityRow> {
  const { name, policy, revocationLists, at } = change;
  return transaction.deviceAuthority.update({
    where: { id },
    data: {
      updatedAt: at,
      version: { increment: 1 },
      ...(name !== undefined && { name }),
      ...(policy && { policy }),
      ...(revocationLists && { revocationLists: revocationLists.map((list) => new Uint8Array(list)) }),
    },
  });
}

/** Denials by serial number of its certificates go with it. */
export async function deleteAuthority(transaction: Transaction, id: string): Promise<void> {
  await transaction.deviceAuthority.delete({ where: { id } });
}
