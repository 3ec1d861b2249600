import { createHash } from "node:crypto";
import { isAbsolute } from "node:path";
import type { SyslogPlace } from "./syslog.js";

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
