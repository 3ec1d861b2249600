import type { Database } from "../../../db/database.js";
import { ChainVerifier, type VerifyOptions } from "../../chain/chain-verifier.js";
import { exportedEvent, isPlace } from "../../chain/export-format.js";
import { type ExportRange, takeBefore } from "../../chain/export-lines.js";
import { publicKeys } from "../../chain/keys/store.js";
import { noPlace } from "../../chain/odd-event.js";
import { type ReadEvent, readEvent } from "../../chain/read-event.js";
import { checkpointsWithin, type SealedEvent } from "../../chain/store.js";
import type { Verified } from "../../chain/verified.js";
import type { Finding } from "../finding.js";
import { lastCuts, wrongBeginning } from "../store.js";
import { Places } from "./places.js";
import { type PlacedEvent, placedEvents } from "./store.js";

type Reading = Pick<Database, "prisma" | "pool">;

/** Small enough that two pages are no memory to speak of. */
const pageSize = 1_000;

/**
 * Follows the chain of the installation once, from its cut to its last place: up to the last checkpoint as an export of
 * it is verified, and with each event its places in the chains of factories.
 * @returns what was verified, the first event that the chains do not vouch for, and how many stand behind that checkpoint
 * @throws AuditBroken when the chain of the installation does not hold; that comes before all else
 */
export async function walkInstallation(
  { prisma, pool }: Reading,
  range: ExportRange,
  options: VerifyOptions,
): Promise<{ verified: Verified; found: Finding | undefined; behind: number }> {
  const { chain, after, through, end, cut } = range;
  const verifier = new ChainVerifier(options);
  for (const { id, publicKey } of await publicKeys(prisma)) verifier.take({ type: "key", keyId: id, publicKey });
  verifier.take({ type: "end", signed: end });
  if (cut !== undefined) verifier.take({ type: "cut", signed: cut });
  const places = new Places(chain, through, await lastCuts(prisma));
  let found = await wrongBeginning(prisma, chain, after);
  let done = after;
  let behind = 0;
  const takeCheckpoints = async (last: number, page: readonly PlacedEvent[], take: (event: PlacedEvent) => void) => {
    const checkpoints = done < through ? await checkpointsWithin(prisma, chain, { after: done, through: last }) : [];
    // A key may have begun to sign since we began.
    if (checkpoints.some(({ keyId }) => !verifier.knows(keyId)))
      for (const { id, publicKey } of await publicKeys(prisma)) verifier.learnKey({ keyId: id, publicKey });
    for (const event of page) {
      for (const signed of takeBefore(checkpoints, event.sealed.position))
        verifier.take({ type: "checkpoint", signed });
      take(event);
    }
    for (const signed of checkpoints) verifier.take({ type: "checkpoint", signed });
    done = last;
  };
  for await (const { last, events } of pagesOf(pool, chain, after)) {
    await takeCheckpoints(Math.min(last, through), events, (event) => {
      const read = readPlaced(event.sealed);
      if (event.sealed.position > through) behind += 1;
      else verifier.take({ type: "event", sealed: exportedEvent(event.sealed), ...read });
      const finding = found === undefined ? places.check(event, read) : undefined;
      found ??= finding;
    });
    verifier.progress();
  }
  await takeCheckpoints(through, [], () => undefined);
  return { verified: verifier.end(), found, behind };
}

function readPlaced({ eventId: id, writer, sequence, event }: SealedEvent): ReadEvent {
  return isPlace({ id, writer, sequence }) ? readEvent(event) : { damage: noPlace };
}

/** The next page is read while one is looked at: Postgres has as much to do as we have. */
async function* pagesOf(pool: Reading["pool"], chain: string, after: number) {
  const read = (from: string) => {
    const page = placedEvents(pool, chain, { after: from, limit: pageSize });
    // Whoever stops early waits for no page: its failure is nobody's then.
    page.catch(() => undefined);
    return page;
  };
  for (let next = read(String(after)); ; ) {
    const { last, events } = await next;
    if (last === undefined) return;
    next = read(last);
    yield { last: Number(last), events };
  }
}
