import type { PrismaClient } from "../../db/database.js";
import { checkPage } from "./store.js";

const pageSize = 10_000;

/**
 * Looks for what a verified chain cannot show: events that stand beside it, and columns that hide an event from a search.
 * @returns a sentence about the first one
 */
export async function findStray(prisma: PrismaClient): Promise<string | undefined> {
  let afterId = 0n;
  for (;;) {
    const { last, unsealed, ahead, disagreeing } = await checkPage(prisma, { afterId, limit: pageSize });
    if (unsealed !== undefined) {
      return `the event with the id ${unsealed} stands in no chain, and all of its time were sealed: it was inserted later, or its seal was removed`;
    }
    if (ahead !== undefined) {
      return `the event with the id ${ahead} stands in no chain, and its transaction has not begun here: it was inserted with a number of somebody's choice`;
    }
    if (disagreeing !== undefined) {
      return `the columns of the event with the id ${disagreeing} say something else than the event: a search would miss it`;
    }
    if (last === undefined) return undefined;
    afterId = last;
  }
}
