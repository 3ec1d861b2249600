import type { PrismaClient } from "../../db/database.js";

/** A version that can be tried, and the current one of its secret. */
export type VersionToExamine = {
  secretId: string;
  currentVersion: number;
  version: number;
  destroyed: boolean;
  /** It, or the current one that it is compared with, may be delivered to jobs. */
  delivered: boolean;
  expiresAt: Date | null;
};

/**
 * Finds a version of a secret that is not deleted.
 * @param version - absent: the current one
 * @returns `undefined` when there is no such secret, `"no-version"` when there is no such version of it
 */
export async function findVersionToExamine(
  prisma: PrismaClient,
  of: { factoryId: string; name: string; version: number | undefined },
): Promise<VersionToExamine | "no-version" | undefined> {
  const { factoryId, name } = of;
  const secret = await prisma.secret.findFirst({
    select: { id: true, currentVersion: true },
    where: { factoryId, name, deletedAt: null },
  });
  if (!secret) return undefined;
  const { id: secretId, currentVersion } = secret;
  const version = of.version ?? currentVersion;
  const rows = await prisma.secretVersion.findMany({
    select: { version: true, destroyedAt: true, expiresAt: true, deliverToJobs: true },
    where: { secretId, version: { in: [version, currentVersion] } },
  });
  const row = rows.find((one) => one.version === version);
  if (!row) return "no-version";
  const delivered = rows.some(({ deliverToJobs }) => deliverToJobs);
  return {
    secretId,
    currentVersion,
    version,
    destroyed: row.destroyedAt !== null,
    delivered,
    expiresAt: row.expiresAt,
  };
}
