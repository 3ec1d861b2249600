import { hash } from "node:crypto";
import type { PrismaClient } from "../../db/database.js";
import { originOf, publicKeyOf, verifierKey } from "./checkpoint.js";
import { isReadable } from "./read-event.js";
import {
  checkpointsWithin,
  installationId,
  type LogRange,
  logRange,
  type SealedEvent,
  sealedEvents,
} from "./read-log.js";
import { publicKeys } from "./signing-key.js";

// The lines of an export, as docs/audit.md describes them. verify.ts reads them again.

/** Events that are read, and written out, at a time. */
const pageSize = 1_000;

/**
 * The id that a factory's audit shows. Ids of rows count the events of all factories, so it is a hash of that. `writer`, a
 * random id that no factory sees, prevents trying numbers until the hash fits.
 */
export function factoryEventId({ eventId, writer }: Pick<SealedEvent, "eventId" | "writer">): string {
  return hash("sha256", `${factoryIdLabel}${writer} ${eventId}`, "hex").slice(0, factoryIdLength);
}

export const factoryIdLabel = "factory-secrets audit event id v1 ";
export const factoryIdLength = 32;

/** For whom an export is: a factory sees no number that counts events of others. */
export type ExportReader = "factory" | "installation";

/** A line with the bytes of the event as they are stored; in base64 if they are not a JSON object. */
export function eventLine(sealed: SealedEvent, reader: ExportReader): string {
  const { log, index, event } = sealed;
  const id = reader === "factory" ? factoryEventId(sealed) : sealed.eventId;
  const beginning = `{"type":"event","log":"${log}","index":${index},"id":"${id}"`;
  return isReadable(event)
    ? `${beginning},"event":${event.toString("utf8")}}`
    : `${beginning},"bytes":"${event.toString("base64")}"}`;
}

export function checkpointLine(note: string): string {
  return JSON.stringify({ type: "checkpoint", note });
}

/**
 * Logs with all that their verification needs, as NDJSON: for each its public keys, the last cut, then the events with the
 * checkpoints between them. Pages are read as they are taken, so a slow reader costs no memory.
 * @returns texts of whole lines
 */
export async function* exportNdjson(
  prisma: PrismaClient,
  logs: readonly string[],
  reader: ExportReader,
): AsyncGenerator<string> {
  const installation = await installationId(prisma);
  let written = 0;
  for (const log of logs) {
    const range = await logRange(prisma, log);
    if (range === undefined || installation === undefined) continue;
    written += 1;
    const origin = originOf(installation, log);
    // Keys are read behind the range: every key that signed in it is among them.
    const keys = (await publicKeys(prisma)).map(({ publicKey }) => publicKeyOf(publicKey).bytes);
    const { cut } = range;
    const edge = cut?.edge.hashes.map((node) => node.toString("base64"));
    yield lines([
      JSON.stringify({ type: "log", origin, keys: keys.map((bytes) => verifierKey(origin, bytes)) }),
      ...(cut ? [JSON.stringify({ type: "cut", note: cut.note, edge })] : []),
    ]);
    yield* exportEvents(prisma, range, reader);
  }
  yield lines([JSON.stringify({ type: "end", logs: written })]);
}

async function* exportEvents(prisma: PrismaClient, range: LogRange, reader: ExportReader): AsyncGenerator<string> {
  const { log } = range;
  let after = range.cut?.edge.size ?? 0;
  for await (const page of pages(prisma, range)) {
    const size = (page.at(-1)?.index ?? after) + 1;
    const checkpoints = await checkpointsWithin(prisma, log, { after, through: size });
    const texts: string[] = [];
    for (const sealed of page) {
      texts.push(eventLine(sealed, reader));
      while (checkpoints[0] !== undefined && checkpoints[0].size <= sealed.index + 1)
        texts.push(checkpointLine(checkpoints.shift()?.note ?? ""));
    }
    yield lines(texts);
    after = size;
  }
  // Only if events at the end were deleted in the database: the verifier then says which is missing.
  const rest = await checkpointsWithin(prisma, log, { after, through: range.end.edge.size });
  yield lines(rest.map(({ note }) => checkpointLine(note)));
}

/** The events of a range, a page at a time. */
export async function* pages(
  prisma: PrismaClient,
  { log, cut, end }: LogRange,
): AsyncGenerator<readonly SealedEvent[]> {
  let from = cut?.edge.size ?? 0;
  for (;;) {
    const page = await sealedEvents(prisma, log, { from, to: end.edge.size, limit: pageSize });
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    from = last.index + 1;
  }
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join("");
}
