import { setImmediate } from "node:timers/promises";
import type { Transaction } from "../../db/database.js";
import { headsOf } from "./heads/store.js";
import { beforeFirst, factoryLinkHash, linkHash } from "./link.js";
import { oddityOf } from "./odd-event.js";
import * as store from "./store.js";

/** Events in one transaction of the sealer: so many that its round trips hardly count. */
export const batchSize = 1_000;
/** Events at a stretch: they keep requests waiting for a few milliseconds. */
const sliceSize = 200;

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
  const { events, more } = await store.nextUnsealed(transaction, start, { after: before?.after, limit: batchSize });
  const { seals, heads, odd } = await link(transaction, installation, events);
  const sealed = events.length - odd.length;
  const last = events.at(-1);
  const xmin = start.restored ? (before?.xmin ?? start.xmin) : start.xmin;
  if (last === undefined || !more) {
    await store.insertSeals(transaction, { seals, heads, frontier: xmin });
    return { sealed, odd, pass: undefined };
  }
  const frontier = start.restored ? start.frontier : last.xid;
  await store.insertSeals(transaction, { seals, heads, frontier });
  return { sealed, odd, pass: { frontier, xmin, after: { xid: last.xid, id: last.id } } };
}

/** Gives each event its places, but those that are odd. */
async function link(transaction: Transaction, installation: string, events: readonly store.UnsealedEvent[]) {
  const chainsOf = (event: store.UnsealedEvent): string[] =>
    event.factory_id === null ? [installation] : [installation, event.factory_id];
  const odd: OddEvent[] = [];
  const sound: store.UnsealedEvent[] = [];
  for (const [index, event] of events.entries()) {
    if (index % sliceSize === sliceSize - 1) await setImmediate();
    const reason = oddityOf(event, installation);
    if (reason === undefined) sound.push(event);
    else odd.push({ eventId: String(event.id), reason });
  }
  const heads = await headsOf(transaction, [...new Set(sound.flatMap(chainsOf))]);
  const seals: store.SealRow[] = [];
  for (const [index, event] of sound.entries()) {
    if (index % sliceSize === sliceSize - 1) await setImmediate();
    seals.push(...chainsOf(event).map((chain) => append(heads, { chain, isFactorys: chain !== installation }, event)));
  }
  return { seals, heads, odd };
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
