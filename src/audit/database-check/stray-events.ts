import type { PrismaClient } from "../../db/database.js";
import { checkPage, type Finding, wrongEnd } from "./store.js";

/** Small enough that Postgres keeps a page in memory and compiles nothing for it. */
const pageSize = 1_000;
/** The ids that Postgres can hold: whoever puts in an event chooses its id. */
const smallestId = -(2n ** 63n);
const largestId = 2n ** 63n - 1n;

/**
 * Looks for what the verified chain of the installation cannot show: events that stand beside it, columns that hide an
 * event from a search, and chains of factories that are anything but their events in the order of the installation.
 * @param onProgress told how many events were looked at
 * @returns a sentence about the first one
 */
export async function findStray(
  prisma: PrismaClient,
  onProgress: (done: number) => void = () => undefined,
): Promise<string | undefined> {
  let done = 0;
  for (let fromId = smallestId; fromId <= largestId; ) {
    const { last, count, found } = await checkPage(prisma, { fromId, limit: pageSize });
    if (found !== undefined) return sentence(found);
    if (last === undefined) break;
    fromId = last + 1n;
    done += count;
    onProgress(done);
  }
  const chain = await wrongEnd(prisma);
  return chain === undefined ? undefined : `the end of the chain ${chain} is noted otherwise than its last event says`;
}

function sentence({ id, reason, chain }: Finding): string {
  switch (reason) {
    case "disagreeing":
      return `the columns of the event with the id ${id} say something else than the event: a search would miss it`;
    case "unsealed":
      return `the event with the id ${id} stands in no chain, or not in all that it belongs in, and all of its time were sealed: it was inserted later, or its seal was removed`;
    case "ahead":
      return `the event with the id ${id} stands in no chain, and its transaction has not begun here: it was inserted with a number of somebody's choice`;
    case "foreign":
      return `the event with the id ${id} stands in the chain ${chain}, which is not its own`;
    case "misplaced":
      return `the event with the id ${id} does not follow in the chain ${chain} on what stands before it: one of the two was altered, moved or inserted`;
    default:
      return reason satisfies never;
  }
}
