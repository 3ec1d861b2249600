import { createHash } from "node:crypto";
import { isAbsolute } from "node:path";

/** An outside place for the audit. `id` is what the database knows it by; a webhook's URL may hold a secret, its id not. */
export type ShipTo =
  | { kind: "stdout"; id: string; label: string }
  | { kind: "file"; id: string; label: string; path: string }
  | { kind: "webhook"; id: string; label: string; url: string };

/** Reads `stdout`, `file:/PATH` and `https://...`. Mistakes are sentences that quote no URL. */
export function parseShipTo(parts: readonly string[]): { targets: ShipTo[]; mistakes: string[] } {
  const targets: ShipTo[] = [];
  const mistakes: string[] = [];
  for (const [index, part] of parts.entries()) {
    const target = shipToOf(part);
    if (target === undefined) mistakes.push(`entry ${index + 1} is none of stdout, file:/PATH and https://HOST/...`);
    else if (targets.some(({ id }) => id === target.id)) mistakes.push(`entry ${index + 1} stands there twice`);
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
  if (url.protocol !== "https:" || url.username !== "" || url.password !== "") return undefined;
  const id = `webhook:${createHash("sha256").update(url.href).digest("hex").slice(0, 32)}`;
  return { kind: "webhook", id, label: url.host, url: url.href };
}
