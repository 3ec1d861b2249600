import { randomBytes } from "node:crypto";
import type { Response } from "supertest";

// Every reply, log line, audit row and metric that a test file causes is kept here and searched when its service
// closes (test-service.ts): so the whole suite is one leak test.
const values = new Set<string>();
const seen: string[] = [];

/** A new value for a secret, made up, which must never be seen again outside. */
export function secretValue(label = "value"): string {
  return watched(`not-a-real-secret-${label}-${randomBytes(9).toString("hex")}`);
}

/** Watches a value that a test made itself, or one part of it that matters: a password, a key. */
export function watched(value: string): string {
  values.add(value);
  return value;
}

/** For the one case in which a value may go out: pass-through. */
export function unwatched(value: string): void {
  values.delete(value);
}

/** Keeps what a client was answered: status line, headers, body. */
export function recordExchange(response: Response): void {
  recordText(`${response.status} ${JSON.stringify(response.headers)} ${response.text ?? ""}`);
}

export function recordText(text: string): void {
  seen.push(text);
}

/** How many texts were kept: a leak test that saw nothing proves nothing. */
export function recordedCount(): number {
  return seen.length;
}

/** @throws when any watched value is in anything kept, raw, base64, hex or URL-encoded; says which kind, not the value */
export function assertNothingLeaked(): void {
  const text = seen.join("\n");
  for (const value of values) {
    const found = formIn(text, value);
    if (found) throw new Error(`a secret value was seen outside, ${found.encoding}: ${excerpt(text, found.form)}`);
  }
}

/** In which form a text holds a value: raw, base64, hex or URL-encoded; `undefined` for none. */
export function formIn(text: string, value: string): { encoding: string; form: string } | undefined {
  const found = formsOf(value).find(([, form]) => text.includes(form));
  return found && { encoding: found[0], form: found[1] };
}

function excerpt(text: string, form: string): string {
  const at = text.indexOf(form);
  return `...${text.slice(Math.max(0, at - 120), at)}[HERE]`;
}

function formsOf(value: string): [string, string][] {
  const bytes = Buffer.from(value, "utf8");
  // Inside a longer text base64 can begin at any of three places; its first and last characters depend on neighbours.
  const shifted = [0, 1, 2].map((shift): [string, string] => {
    const padded = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    return ["in base64", padded.slice(shift === 0 ? 0 : 4, -2)];
  });
  const json = JSON.stringify(value).slice(1, -1);
  return [
    ["as it is", value],
    ["as JSON", json],
    ...shifted,
    ["in hex", bytes.toString("hex")],
    ["URL-encoded", encodeURIComponent(value)],
  ];
}

/** Forgets all values and texts: they are of another test file, whose own services have been searched. */
export function forgetOtherFiles(): void {
  values.clear();
  seen.length = 0;
}
