import type { PrismaClient } from "../../db/database.js";
import { deleteRetiredSigningKeys } from "./keys/store.js";
import { deleteEndedSessions } from "./sessions/store.js";

const keepEndedMs = 7 * 24 * 3_600_000;

/** Forgets refresh tokens that have expired, keys that verify no more, and sessions that ended a week ago. */
export async function sweepOAuth(prisma: PrismaClient, now: Date): Promise<void> {
  await deleteEndedSessions(prisma, { now, before: new Date(now.getTime() - keepEndedMs) });
  await deleteRetiredSigningKeys(prisma, now);
}
