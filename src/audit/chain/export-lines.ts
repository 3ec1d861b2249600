import type { PrismaClient } from "../../db/database.js";
import { cefLine } from "./cef.js";
import { eventLine, keyLine, signedLine } from "./export-format.js";
import * as store from "./store.js";

/** Events that are read, and written out, at a time. */
const pageSize = 1_000;

/** What an export of a chain covers: from behind its last cut up to its last checkpoint. */
export type ExportRange = { chain: string; after: number; through: number };

/** @returns `undefined` when no checkpoint of the chain was signed yet */
export async function exportRange(prisma: PrismaClient, chain: string): Promise<ExportRange | undefined> {
  const end = await store.lastStatement(prisma, chain, "checkpoint");
  if (end === undefined) return undefined;
  const cut = await store.lastStatement(prisma, chain, "cut");
  return { chain, after: cut?.position ?? 0, through: end.position };
}

/**
 * A chain with all that its verification needs, as NDJSON: public keys, the signed end, the last cut, then the events with
 * the checkpoints between them. Pages are read as they are taken, so a slow reader costs no memory.
 * @returns texts of whole lines
 */
export async function* exportNdjson(prisma: PrismaClient, range: ExportRange): AsyncGenerator<string> {
  const { chain, after, through } = range;
  const keys = await store.publicKeys(prisma);
  const checkpoints = await store.checkpointsWithin(prisma, chain, { after, through });
  const end = checkpoints.at(-1) ?? (await store.lastStatement(prisma, chain, "checkpoint"));
  const cut = await store.lastStatement(prisma, chain, "cut");
  const first = [
    ...keys.map(keyLine),
    ...(end ? [signedLine("end", end)] : []),
    ...(cut ? [signedLine("cut", cut)] : []),
  ];
  yield lines(first);
  for await (const page of pages(prisma, range)) {
    const texts: string[] = [];
    for (const sealed of page) {
      while ((checkpoints[0]?.position ?? Number.POSITIVE_INFINITY) < sealed.position) takeCheckpoint(texts);
      texts.push(eventLine(sealed));
    }
    yield lines(texts);
  }
  const rest: string[] = [];
  while (checkpoints.length > 0) takeCheckpoint(rest);
  yield lines(rest);

  function takeCheckpoint(texts: string[]): void {
    const next = checkpoints.shift();
    if (next !== undefined) texts.push(signedLine("checkpoint", next));
  }
}

/** The events of a chain as CEF, oldest first. @returns texts of whole lines */
export async function* exportCef(prisma: PrismaClient, range: ExportRange): AsyncGenerator<string> {
  for await (const page of pages(prisma, range)) yield lines(page.map(cefLine));
}

/** The events of a range, a page at a time. */
async function* pages(prisma: PrismaClient, range: ExportRange): AsyncGenerator<store.SealedEvent[]> {
  const { chain, through } = range;
  let { after } = range;
  for (;;) {
    const page = await store.sealedEvents(prisma, chain, { after, through, limit: pageSize });
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    after = last.position;
  }
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}
