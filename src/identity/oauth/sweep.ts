import type { PrismaClient } from "../../db/database.js";
import { deleteRetiredSigningKeys } from "./keys/store.js";
import { deleteEndedSessions } from "./sessions/store.js";

const keepEndedSeconds = 7 * 24 * 3_600;

/** Forgets refresh tokens that have expired, keys that verify no more, and sessions that ended a week ago. */
export async function sweepOAuth(prisma: PrismaClient): Promise<void> {
  await deleteEndedSessions(prisma, keepEndedSeconds);
  await deleteRetiredSigningKeys(prisma);
}
