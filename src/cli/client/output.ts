import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { visible, visibleInline } from "../../core/visible-text.js";
import type { Environment } from "../../settings/reader.js";

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

/** Where a command speaks. What it was asked for goes to `out`: lines, a table or a document. All else goes to `say`. */
export type Terminal = {
  out(text: string): void;
  /** One line. A line feed in it is part of a value, and is shown as `\n`. */
  say(line: string): void;
  /** What takes its time: for a person who watches, and not for a log. One line. */
  note(line: string): void;
  /** A command for the CI system. It stands on standard error unless it is what the command was asked for. */
  command(line: string, stream?: "out" | "err"): void;
};

/** The standard streams of this process. */
export function standardTerminal(): Terminal {
  const say = (line: string): void => writeErr(`${visibleInline(line)}\n`);
  return {
    out: (text) => writeOut(`${text}\n`),
    say,
    note: (line) => {
      if (process.stderr.isTTY) say(line);
    },
    command: (line, stream = "err") => writeCommand(stream, line),
  };
}

/**
 * Has the CI system black out texts in the job's log. GitHub's runner reads its commands from standard error too, so
 * that what is captured from standard output stays what was asked for. Others have no such command.
 * Source: GitHub documentation, "Workflow commands for GitHub Actions", masking a value.
 */
export function maskTexts(
  environment: Environment,
  { command }: Pick<Terminal, "command">,
  texts: readonly string[],
): void {
  if (environment.GITHUB_ACTIONS !== "true") return;
  for (const text of new Set(texts)) if (text !== "") command(`::add-mask::${escapeCommand(text)}`);
}

/** GitLab masks only what its settings list: what is printed there stands in the log for all who may read it. */
export function warnOfPrinting(environment: Environment, { say }: Pick<Terminal, "say">): void {
  if (environment.GITLAB_CI !== "true") return;
  say("Warning: GitLab cannot mask this token. Unless it is captured, as in TOKEN=$(...), it stands in the job's log.");
}

// A line end would end the command, and show the rest.
const escapeCommand = (text: string): string =>
  text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");

const width = 30;
const everyMs = 100;

/**
 * A bar on one line of standard error. On anything but a terminal it draws nothing.
 * @returns `show` to be called as often as one likes, and `clear` for when the command speaks again
 */
export function progressBar(label: string): { show(done: number, total: number): void; clear(): void } {
  const { stderr } = process;
  let drawnMs = 0;
  return {
    show(done, total) {
      const nowMs = Date.now();
      if (!stderr.isTTY || nowMs - drawnMs < everyMs) return;
      drawnMs = nowMs;
      const share = total === 0 ? 1 : Math.min(1, done / total);
      const filled = Math.round(share * width);
      const bar = "#".repeat(filled) + "-".repeat(width - filled);
      redrawLine(`${label} [${bar}] ${Math.floor(share * 100)} % (${done} of ${total})`);
    },
    clear() {
      if (drawnMs > 0) redrawLine("");
    },
  };
}
