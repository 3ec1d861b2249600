import type { PrismaClient } from "../../db/database.js";
import { cefLine } from "./cef.js";
import { eventLine, exportedEvent, keyLine, signedLine } from "./export-format.js";
import { cutHash } from "./heads/store.js";
import { publicKeys } from "./keys/store.js";
import { beforeFirst, factoryLinkForm } from "./link.js";
import { damagedSentence } from "./read-event.js";
import type { SignedStatement } from "./statement.js";
import * as store from "./store.js";

/** Events that are read, and written out, at a time. */
const pageSize = 1_000;

/** What an export of a chain covers: from behind its last `cut` up to its last checkpoint, the `end`. */
export type ExportRange = {
  chain: string;
  /** Whether it is the chain of a factory, whose export shows no number that counts events of others. */
  isFactorys: boolean;
  after: number;
  through: number;
  end: SignedStatement;
  cut: SignedStatement | undefined;
};

/** @returns `undefined` when no checkpoint of the chain was signed yet */
export async function exportRange(prisma: PrismaClient, chain: string): Promise<ExportRange | undefined> {
  const end = await store.lastStatement(prisma, chain, "checkpoint");
  if (end === undefined) return undefined;
  const cut = await store.lastStatement(prisma, chain, "cut");
  const isFactorys = chain !== (await store.installationId(prisma));
  return { chain, isFactorys, after: cut?.position ?? 0, through: end.position, end, cut };
}

/**
 * A chain with all that its verification needs, as NDJSON: public keys, the signed end, the last cut, then the events with
 * the checkpoints between them. Pages are read as they are taken, so a slow reader costs no memory.
 * @param onDamaged told of each event whose bytes are none of the service's: they stand in the export as they are
 * @returns texts of whole lines
 */
export async function* exportNdjson(
  prisma: PrismaClient,
  range: ExportRange,
  onDamaged: (sentence: string) => void = () => undefined,
): AsyncGenerator<string> {
  const { chain, isFactorys, through, end, cut } = range;
  const keys = await publicKeys(prisma);
  yield lines([...keys.map(keyLine), signedLine("end", end), ...(cut ? [signedLine("cut", cut)] : [])]);
  let { after } = range;
  let previous = cut ? cutHash(Buffer.from(cut.text, "utf8")) : beforeFirst;
  for await (const page of pages(prisma, range)) {
    const last = page.at(-1)?.position ?? after;
    const checkpoints = await store.checkpointsWithin(prisma, chain, { after, through: last });
    const texts: string[] = [];
    for (const sealed of page) {
      for (const one of takeBefore(checkpoints, sealed.position)) texts.push(signedLine("checkpoint", one));
      const exported = exportedEvent(sealed);
      // Only a link of the releases before cannot be checked without its place.
      const isPlaced = !isFactorys || factoryLinkForm(previous, { ...sealed, chain }) === "v1";
      const { line, damage } = eventLine(isPlaced ? exported : { ...exported, place: undefined });
      previous = sealed.hash;
      if (damage !== undefined) onDamaged(damagedSentence({ ...sealed, chain, damage }));
      texts.push(line);
    }
    yield lines([...texts, ...checkpoints.map((one) => signedLine("checkpoint", one))]);
    after = last;
  }
  const rest = await store.checkpointsWithin(prisma, chain, { after, through });
  yield lines(rest.map((one) => signedLine("checkpoint", one)));
}

/** Takes those out of a list that stand in front of the event at a position. */
export function takeBefore<T extends { position: number }>(checkpoints: T[], position: number): T[] {
  const due = checkpoints.findIndex((one) => one.position >= position);
  return checkpoints.splice(0, due < 0 ? checkpoints.length : due);
}

/** The events of a chain as CEF, oldest first. @returns texts of whole lines */
export async function* exportCef(prisma: PrismaClient, range: ExportRange): AsyncGenerator<string> {
  for await (const page of pages(prisma, range)) yield lines(page.map((sealed) => cefLine(sealed, range)));
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
