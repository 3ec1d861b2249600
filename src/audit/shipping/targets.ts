import { createHash, sign } from "node:crypto";
import { open } from "node:fs/promises";
import { isAbsolute } from "node:path";
import type { Writable } from "node:stream";
import { databaseNow } from "../../core/database-clock.js";
import { visible } from "../../core/visible-text.js";
import type { PrismaClient } from "../../db/database.js";
import type { Outbound } from "../../outbound/outbound.js";
import { installationId } from "../log/read-log.js";
import type { AuditSigningKey } from "../log/signing-key.js";
import type { Target } from "./shipper.js";
import { type SyslogPlace, sendSyslog } from "./syslog.js";

type Deps = {
  prisma: PrismaClient;
  outbound: Outbound;
  signingKey: AuditSigningKey;
  stdout: Writable;
  /** Further certificate authorities, PEM. */
  caCertificates: readonly string[];
};

/** Makes what delivers to an outside place. */
export function createTarget(deps: Deps, shipTo: ShipTo): Target {
  const { id, label } = shipTo;
  switch (shipTo.kind) {
    case "stdout":
      return { id, label, deliver: (text) => writeAll(deps.stdout, visible(text)) };
    case "file":
      return { id, label, deliver: (text) => appendDurably(shipTo.path, text) };
    case "webhook":
      return { id, label, deliver: (text) => post(deps, shipTo.url, text) };
    case "syslog":
      return { id, label, deliver: (text) => sendSyslog(shipTo.place, text, deps.caCertificates) };
    default:
      return shipTo satisfies never;
  }
}

function writeAll(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

// Opened anew each time, so that a file that was rotated away is left alone.
async function appendDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "a+", 0o600);
  try {
    const { size } = await file.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await file.read(last, 0, 1, size - 1);
    // A crash may have left half a line: what belongs there is sent again, on a line of its own.
    const begin = size === 0 || last.toString() === "\n" ? "" : "\n";
    await file.writeFile(begin + text);
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function post({ prisma, outbound, signingKey }: Deps, url: string, text: string): Promise<void> {
  const installation = await installationId(prisma);
  if (installation === undefined) throw new Error("there is no installation yet");
  const { keyId, privateKey } = await signingKey.current(installation);
  const seconds = Math.floor(databaseNow().getTime() / 1_000);
  const signature = sign(null, signedBytes(seconds, text), privateKey).toString("base64");
  const reply = await outbound.request({
    url,
    method: "POST",
    headers: {
      "Content-Type": "application/x-ndjson",
      "Factory-Secrets-Signature": `t=${seconds},keyId=${keyId},ed25519=${signature}`,
    },
    body: text,
  });
  if (reply.status < 200 || reply.status > 299) throw new Error(`it answered ${reply.status}`);
}

/** What a webhook's signature covers. No checkpoint begins like this, so neither passes for the other. */
function signedBytes(seconds: number, text: string): Buffer {
  return Buffer.from(`factory-secrets.audit-delivery.v1\n${seconds}\n${text}`, "utf8");
}

/** An outside place for the audit. `id` is what the database knows it by; a webhook's URL may hold a secret, its id not. */
export type ShipTo =
  | { kind: "stdout"; id: string; label: string }
  | { kind: "file"; id: string; label: string; path: string }
  | { kind: "webhook"; id: string; label: string; url: string }
  | { kind: "syslog"; id: string; label: string; place: SyslogPlace };

const syslogPorts: Readonly<Record<string, number>> = { "syslog+tcp:": 514, "syslog+tls:": 6514 };

/** Reads `stdout`, `file:/PATH`, `https://...` and `syslog+tls://HOST[:PORT]`, `syslog+tcp://...`. Mistakes are sentences that quote no URL. */
export function parseShipTo(parts: readonly string[]): { targets: ShipTo[]; mistakes: string[] } {
  const targets: ShipTo[] = [];
  const mistakes: string[] = [];
  for (const [index, part] of parts.entries()) {
    const target = shipToOf(part);
    if (target === undefined)
      mistakes.push(
        `entry ${index + 1} must be stdout, file:/PATH, https://HOST/..., syslog+tls://HOST:PORT or syslog+tcp://HOST:PORT`,
      );
    else if (targets.some(({ id }) => id === target.id)) mistakes.push(`entry ${index + 1} is named twice`);
    else targets.push(target);
  }
  return { targets, mistakes };
}

function shipToOf(text: string): ShipTo | undefined {
  if (text === "stdout") return { kind: "stdout", id: "stdout", label: "standard output" };
  if (text.startsWith("file:")) {
    const path = text.slice("file:".length);
    return isAbsolute(path) ? { kind: "file", id: text, label: path, path } : undefined;
  }
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol in syslogPorts) return syslogOf(url);
  if (url.protocol !== "https:" || url.username !== "" || url.password !== "") return undefined;
  const id = `webhook:${createHash("sha256").update(url.href).digest("hex").slice(0, 32)}`;
  return { kind: "webhook", id, label: url.host, url: url.href };
}

function syslogOf(url: URL): ShipTo | undefined {
  const { protocol, hostname, port, username, password, pathname, search, hash } = url;
  if (hostname === "" || [username, password, pathname.replace(/^\/$/, ""), search, hash].some((part) => part !== ""))
    return undefined;
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const place = { host, port: Number(port || syslogPorts[protocol]), tls: protocol === "syslog+tls:" };
  return { kind: "syslog", id: `${protocol}//${hostname}:${place.port}`, label: `${hostname}:${place.port}`, place };
}
