import { format, inspect } from "node:util";
import { pino } from "pino";
import { expect, test } from "vitest";
import { Plaintext } from "../../../src/crypto/plaintext.js";

const value = "not-a-real-secret-5";

function logged(write: (log: pino.Logger) => void): string {
  const lines: string[] = [];
  write(pino({}, { write: (line: string) => void lines.push(line) }));
  return lines.join("");
}

test.each<[string, (plaintext: Plaintext) => string]>([
  ["String()", (plaintext) => String(plaintext)],
  ["a template", (plaintext) => `${plaintext}`],
  ["concatenation", (plaintext) => `a${String([plaintext])}`],
  ["JSON", (plaintext) => JSON.stringify({ plaintext, list: [plaintext] })],
  ["inspect", (plaintext) => inspect({ plaintext }, { depth: null })],
  [
    "inspect with all that is hidden",
    (plaintext) => inspect(plaintext, { showHidden: true, customInspect: false, depth: null }),
  ],
  ["format, as console.log has it", (plaintext) => format("%s %o %O %j", plaintext, plaintext, plaintext, plaintext)],
  ["the message of an error", (plaintext) => new Error(`failed: ${plaintext}`, { cause: plaintext }).message],
  [
    "its own properties",
    (plaintext) => JSON.stringify({ ...plaintext }) + Object.getOwnPropertyNames(plaintext).join(),
  ],
  ["a log line", (plaintext) => logged((log) => log.info({ plaintext, deep: { value: plaintext } }, "written"))],
])("a value does not show in %s", (_where, show) => {
  const shown = show(Plaintext.fromText(value));
  expect(shown).not.toContain(value);
  for (const encoding of ["hex", "base64"] as const) expect(shown).not.toContain(Buffer.from(value).toString(encoding));
});

test("gives its bytes to whoever asks by name, as they were", () => {
  const bytes = Buffer.from("00ff0d0a", "hex");
  expect(Plaintext.fromBytes(bytes).revealBytes()).toEqual(Buffer.from("00ff0d0a", "hex"));
  expect(Plaintext.fromText("a\r\n\u{1F511}").revealText()).toBe("a\r\n\u{1F511}");
  expect(Plaintext.fromText("\u{1F511}").length).toBe(4);
});

test("erases the very bytes it was given", () => {
  const bytes = Buffer.from(value);
  const plaintext = Plaintext.fromBytes(bytes);
  plaintext.erase();
  expect(bytes).toEqual(Buffer.alloc(value.length));
  expect(plaintext.revealBytes()).toEqual(Buffer.alloc(value.length));
});
