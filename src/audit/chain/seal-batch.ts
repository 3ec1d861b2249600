import type { Transaction } from "../../db/database.js";
import { headsOf } from "./heads/store.js";
import { beforeFirst, factoryLinkHash, linkHash } from "./link.js";
import { oddityOf } from "./odd-event.js";
import * as store from "./store.js";

/** Events in one transaction of the sealer: what it does at a stretch keeps requests waiting for a few milliseconds. */
export const batchSize = 200;

/** An event that was passed over, and why. */
export type OddEvent = { eventId: string; reason: string };

/**
 * Where a batch has ended that left more to do: what it passed over is not looked at again by the next. `frontier` is as
 * it left it; when another replica has moved it since, the next begins there. `xmin` is that of the first batch: what was
 * committed behind the back of the later ones, in a database that was restored, is still to be looked for.
 */
export type Pass = { frontier: string; xmin: string; after: Pick<store.UnsealedEvent, "xid" | "id"> };

type Batch = { sealed: number; odd: OddEvent[]; pass: Pass | undefined };

/** Seals the next events, in one transaction. @returns without a `pass` when there are no more, or another is the sealer */
export async function sealBatch(
  transaction: Transaction,
  { installation, wait, pass }: { installation: string; wait: boolean; pass: Pass | undefined },
): Promise<Batch> {
  const start = await store.becomeSealer(transaction, { wait });
  if (start === undefined) return { sealed: 0, odd: [], pass: undefined };
  const before = pass?.frontier === start.frontier ? pass : undefined;
  const events = await store.nextUnsealed(transaction, start, { after: before?.after, limit: batchSize });
  const odd: OddEvent[] = [];
  const sound = events.filter((event) => {
    const reason = oddityOf(event, installation);
    if (reason !== undefined) odd.push({ eventId: String(event.id), reason });
    return reason === undefined;
  });
  await seal(transaction, installation, sound);
  const last = events.at(-1);
  const xmin = start.restored ? (before?.xmin ?? start.xmin) : start.xmin;
  if (last === undefined || events.length < batchSize) {
    await store.moveFrontier(transaction, xmin);
    return { sealed: sound.length, odd, pass: undefined };
  }
  const frontier = start.restored ? start.frontier : last.xid;
  await store.moveFrontier(transaction, frontier);
  return { sealed: sound.length, odd, pass: { frontier, xmin, after: { xid: last.xid, id: last.id } } };
}

async function seal(
  transaction: Transaction,
  installation: string,
  events: readonly store.UnsealedEvent[],
): Promise<void> {
  const chainsOf = (event: store.UnsealedEvent): string[] =>
    event.factory_id === null ? [installation] : [installation, event.factory_id];
  const heads = await headsOf(transaction, [...new Set(events.flatMap(chainsOf))]);
  const seals = events.flatMap((event) =>
    chainsOf(event).map((chain) => append(heads, { chain, isFactorys: chain !== installation }, event)),
  );
  if (seals.length > 0) await store.insertSeals(transaction, seals, heads);
}

function append(
  heads: Map<string, store.Head>,
  { chain, isFactorys }: { chain: string; isFactorys: boolean },
  row: store.UnsealedEvent,
): store.SealRow {
  const head = heads.get(chain) ?? { position: 0, hash: beforeFirst };
  const position = head.position + 1;
  const eventId = String(row.id);
  const { writer } = row;
  const link = { chain, position, eventId, writer, sequence: Number(row.sequence), event: Buffer.from(row.event) };
  const hash = isFactorys ? factoryLinkHash(head.hash, link) : linkHash(head.hash, link);
  heads.set(chain, { position, hash });
  return { chain_id: chain, position, event_id: eventId, hash: hash.toString("hex") };
}
