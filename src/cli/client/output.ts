import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { visible } from "../../core/visible-text.js";

/**
 * The only file of the command line that writes to standard output and standard error. Values of other people (names,
 * messages, files of a repository) are in nearly every line, so nothing leaves here that could act on a terminal or a
 * CI system; test/unit/architecture holds all other files to it.
 */

/** Marks the colours that `styled` adds. It is random, so that no value of somebody else can contain it. */
const mark = `\u001b<${randomBytes(8).toString("hex")}>`;
const marked = new RegExp(`${mark}(\\d+)m`);

/** Emphasises a text by a pair of SGR codes (ECMA-48, section 8.3.117). */
export const styled = (text: string, on: number, off: number): string => `${mark}${on}m${text}${mark}${off}m`;

/** The text as it may be written. */
export function harmless(text: string): string {
  // Every second part is the code of a colour.
  return text
    .split(marked)
    .map((part, index) => (index % 2 === 1 ? `\u001b[${part}m` : visible(part)))
    .join("");
}

export const writeOut = (text: string): void => void process.stdout.write(harmless(text));

export const writeErr = (text: string): void => void process.stderr.write(harmless(text));

/**
 * Writes a command for the CI system, such as `::add-mask::`, on a line of its own. The caller escapes its values as the
 * CI system wants it.
 */
export function writeCommand(stream: "out" | "err", line: string): void {
  // The text after the leading mark is like any other.
  const start = /^::(?=[a-z])/.exec(line)?.[0] ?? "";
  const { stdout, stderr } = process;
  (stream === "out" ? stdout : stderr).write(`${start}${visible(line.slice(start.length)).replaceAll("\n", "%0A")}\n`);
}

/** Writes bytes that are for a program, such as a backup. Resolves when they were taken. */
export function writeBytes(chunk: Uint8Array): Promise<void> {
  const { stdout } = process;
  // A reader that left is reported by the write; without a listener the event would end the process first.
  if (stdout.listenerCount("error") === 0) stdout.on("error", () => undefined);
  return new Promise((resolve, reject) => {
    stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

/** The same text in pieces that end where a line does, but for the last: what is in a line is judged as a whole. */
export async function* wholeLines(pieces: AsyncIterable<string>): AsyncIterable<string> {
  let rest = "";
  for await (const piece of pieces) {
    const end = piece.lastIndexOf("\n") + 1;
    if (end > 0) yield rest + piece.slice(0, end);
    rest = end > 0 ? piece.slice(end) : rest + piece;
  }
  if (rest !== "") yield rest;
}

/** Writes pieces of text one after another, as fast as the reader takes them. */
export async function writeAll(pieces: AsyncIterable<string>): Promise<void> {
  for await (const piece of wholeLines(pieces))
    if (!process.stdout.write(harmless(piece))) await once(process.stdout, "drain");
}

/** Draws over the present line of standard error, when that is a terminal. */
export function redrawLine(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${visible(text)}`);
}
