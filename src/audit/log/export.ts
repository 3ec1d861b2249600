import { hash } from "node:crypto";
import { isIP } from "node:net";
import type { PrismaClient } from "../../db/database.js";
import { originOf, publicKeyOf, verifierKey } from "./checkpoint.js";
import { isReadable, readEvent } from "./read-event.js";
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

const severities: Readonly<Record<string, number>> = { allowed: 3, refused: 5, failed: 7 };

/** The events of logs as CEF, oldest first. @returns texts of whole lines */
export async function* exportCef(
  prisma: PrismaClient,
  logs: readonly string[],
  reader: ExportReader,
): AsyncGenerator<string> {
  for (const log of logs) {
    const range = await logRange(prisma, log);
    if (range === undefined) continue;
    for await (const page of pages(prisma, range)) yield page.map((sealed) => `${cefLine(sealed, reader)}\n`).join("");
  }
}

/**
 * An event as a line of the Common Event Format (ArcSight CEF, version 0). It says what the event says of who, what and
 * where, for a SIEM to search; it holds no hashes, so nothing can be proved with it.
 */
export function cefLine(sealed: SealedEvent, reader: ExportReader): string {
  const { event: told, problem } = readEvent(sealed.event);
  const read = readerOf(told);
  const action = read("action") ?? (problem === undefined ? "" : "damaged");
  const outcome = read("outcome") ?? "";
  const address = read("address");
  const extension = Object.entries({
    rt: timeOf(read("at")),
    externalId: reader === "factory" ? factoryEventId(sealed) : sealed.eventId,
    outcome,
    spriv: read("actor", "kind"),
    suid: read("actor", "id"),
    suser: read("actor", "name"),
    src: address !== undefined && isIP(address) !== 0 ? address : undefined,
    reason: problem ?? read("code") ?? read("reason"),
    ...labelled("cs1", "factory", read("factory", "name")),
    ...labelled("cs2", "secret", read("secret")),
    ...labelled("cs3", "requestId", read("requestId")),
    ...labelled("cs4", "registry", read("registry")),
    ...labelled("cs5", "credential", read("credential", "name")),
    ...labelled("cn1", "secretVersion", read("secretVersion")),
    ...labelled("cn2", "configVersion", read("configVersion")),
    ...labelled("cn3", "index", String(sealed.index)),
  }).flatMap(([key, value]) => (value === undefined || value === "" ? [] : [`${key}=${escapedValue(value)}`]));
  const header = ["factory-secrets", "factory-secrets", "1", action, action, String(severities[outcome] ?? 5)];
  return `CEF:0|${header.map(escapedHeader).join("|")}|${extension.join(" ")}`;
}

function timeOf(at: string | undefined): string | undefined {
  const ms = Date.parse(at ?? "");
  return Number.isNaN(ms) ? undefined : String(ms);
}

function labelled(key: string, label: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [`${key}Label`]: label, [key]: value };
}

/** Reads a member, or a member of a member, that is a text or a number. */
function readerOf(event: unknown): (...path: string[]) => string | undefined {
  return (...path) => {
    let value = event;
    for (const name of path) {
      if (typeof value !== "object" || value === null) return undefined;
      value = new Map(Object.entries(value)).get(name);
    }
    return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
  };
}

function escapedHeader(text: string): string {
  return text.replace(/[\\|]/g, "\\$&").replace(/[\r\n]+/g, " ");
}

function escapedValue(text: string): string {
  return text.replace(/[\\=]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
}
