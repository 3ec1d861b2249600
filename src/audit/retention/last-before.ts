import type { PrismaClient } from "../../db/database.js";
import { damagedSentence, readEvent } from "../chain/read-event.js";
import { sealedEvents } from "../chain/store.js";

/** Events that are read at a time. */
const pageSize = 1_000;

/**
 * How far a chain may be cut: up to the last position in front of the first event that is not older than `before`. When an
 * event was, its sealed bytes say: the column beside them can be altered without breaking the chain.
 * @param limit how many events behind `after` are looked at
 * @returns `through`, which is `after` when there is nothing older right behind it; and a sentence about the event behind
 *   it when that is damaged. It is kept: of what it was, nothing else is left
 */
export async function lastBefore(
  prisma: PrismaClient,
  chain: string,
  { after, limit, before }: { after: number; limit: number; before: Date },
): Promise<{ through: number; damaged: string | undefined }> {
  let through = after;
  while (through < after + limit) {
    const page = { after: through, through: after + limit, limit: pageSize };
    const events = await sealedEvents(prisma, chain, page);
    for (const sealed of events) {
      const { event, damage } = readEvent(sealed.event);
      if (event === undefined) return { through, damaged: damagedSentence({ ...sealed, chain, damage }) };
      const atMs = typeof event.at === "string" ? Date.parse(event.at) : Number.NaN;
      if (!(atMs < before.getTime())) return { through, damaged: undefined };
      through = sealed.position;
    }
    if (events.length === 0) break;
  }
  return { through, damaged: undefined };
}
