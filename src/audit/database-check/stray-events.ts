import type { Database } from "../../db/database.js";
import { oddityOf } from "../chain/odd-event.js";
import { readEvent } from "../chain/read-event.js";
import { endOfPage, hasSealerRow, placeOfNothing, type Unplaced, unplacedEvents } from "./beside/store.js";
import { type Finding, findingSentence } from "./finding.js";
import { lastCuts, wrongEnd } from "./store.js";
import { agree } from "./walk/places.js";

type Reading = Pick<Database, "prisma" | "pool">;

/** Ids that are compared with the places at a time. */
const pageSize = 20_000;
/** Events of them that are read at a time because they have no place. */
const unplacedSize = 1_000;
/** The ids that Postgres can hold: whoever puts in an event chooses its id. */
const smallestId = -(2n ** 63n);
const largestId = 2n ** 63n - 1n;

const sealerRowMissing =
  "the row that says how far the sealer was is missing (audit_sealer): nothing is sealed any more, and what was put beside the chains cannot be told from what waits";

/**
 * Looks for what is not met by following the chain of the installation: events beside it, places of events that are not
 * there, a lost row of the sealer, and ends that are noted otherwise, or not.
 * @param onProgress told how many events were looked at
 * @returns a sentence about the first one, and how many events merely wait for their places
 */
export async function findStray(
  { prisma, pool }: Reading,
  installation: string,
  onProgress: (done: number) => void = () => undefined,
): Promise<{ found: string | undefined; waiting: number }> {
  let done = 0;
  let waiting = 0;
  for (let from = smallestId; from <= largestId; ) {
    const page = await endOfPage(prisma, from, pageSize);
    // Places may have ids behind the last event.
    const to = page?.last ?? largestId;
    const unplaced = await findUnplaced(pool, installation, { from, to });
    waiting += unplaced.waiting;
    const found = unplaced.found ?? (await placeOfNothing(prisma, { from, to }));
    if (found !== undefined) return { found: findingSentence(found), waiting };
    from = to + 1n;
    done += page?.count ?? 0;
    onProgress(done);
  }
  if (!(await hasSealerRow(prisma))) return { found: sealerRowMissing, waiting };
  return { found: await wrongEnd(prisma, await lastCuts(prisma)), waiting };
}

async function findUnplaced(
  pool: Reading["pool"],
  installation: string,
  { from, to }: { from: bigint; to: bigint },
): Promise<{ found: Finding | undefined; waiting: number }> {
  let waiting = 0;
  for (let next = from; next <= to; ) {
    const rows = await unplacedEvents(pool, installation, { from: next, to, limit: unplacedSize });
    for (const one of rows) {
      const found = findingOf(one, installation);
      if (found !== undefined) return { found, waiting };
      waiting += 1;
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < unplacedSize) break;
    next = last.row.id + 1n;
  }
  return { found: undefined, waiting };
}

/** What is merely not sealed yet is nothing to be found. */
function findingOf({ row, columns, missing }: Unplaced, installation: string): Finding | undefined {
  const id = String(row.id);
  const why = oddityOf(row, installation);
  if (why !== undefined) return { id, reason: "odd", why };
  const { event } = readEvent(Buffer.from(row.event));
  if (event !== undefined && !agree(columns, event)) return { id, reason: "disagreeing" };
  return missing && { id, reason: missing };
}
