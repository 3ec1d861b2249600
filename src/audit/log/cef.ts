import { isIP } from "node:net";
import type { PrismaClient } from "../../db/database.js";
import { type ExportReader, factoryEventId, pages } from "./export.js";
import { readEvent } from "./read-event.js";
import { logRange, type SealedEvent } from "./read-log.js";

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
