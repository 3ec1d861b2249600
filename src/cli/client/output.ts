import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { visible, visibleInline } from "../../core/visible-text.js";
import type { Environment } from "../../settings/reader.js";

/**
 * The only file of the command line that writes to standard output and standard error: nearly every line has values of
 * other people (names, messages, files of a repository), and none may act on a terminal or a CI system.
 * test/unit/architecture checks that no other file writes.
 */

/** Marks the colours that `styled` adds. Random, so that no value can contain it. */
const mark = `\u001b<${randomBytes(8).toString("hex")}>`;
const marked = new RegExp(`${mark}(\\d+)m`);

/** Emphasises a text by a pair of SGR codes (ECMA-48, section 8.3.117). */
export const styled = (text: string, on: number, off: number): string => `${mark}${on}m${text}${mark}${off}m`;

/** The text with everything that could act on a terminal made visible. */
export function harmless(text: string): string {
  // Every second part is a colour code.
  return text
    .split(marked)
    .map((part, index) => (index % 2 === 1 ? `\u001b[${part}m` : visible(part)))
    .join("");
}

export const writeOut = (text: string): void => void process.stdout.write(harmless(text));

export const writeErr = (text: string): void => void process.stderr.write(harmless(text));

/**
 * Writes a command for the CI system, such as `::add-mask::`, on a separate line. The caller escapes its values.
 */
export function writeCommand(stream: "out" | "err", line: string): void {
  // The text after the leading mark is like any other.
  const start = /^::(?=[a-z])/.exec(line)?.[0] ?? "";
  const { stdout, stderr } = process;
  (stream === "out" ? stdout : stderr).write(`${start}${visible(line.slice(start.length)).replaceAll("\n", "%0A")}\n`);
}

/** Writes bytes for a program, such as a backup. Resolves when they were written. */
export function writeBytes(chunk: Uint8Array): Promise<void> {
  const { stdout } = process;
  // The write reports a closed pipe; without a listener the event would end the process first.
  if (stdout.listenerCount("error") === 0) stdout.on("error", () => undefined);
  return new Promise((resolve, reject) => {
    stdout.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

/** The same text in pieces of whole lines: control sequences are searched within a line. */
export async function* wholeLines(pieces: AsyncIterable<string>): AsyncIterable<string> {
  let rest = "";
  for await (const piece of pieces) {
    const end = piece.lastIndexOf("\n") + 1;
    if (end > 0) yield rest + piece.slice(0, end);
    rest = end > 0 ? piece.slice(end) : rest + piece;
  }
  if (rest !== "") yield rest;
}

/** Writes pieces of text with backpressure. */
export async function writeAll(pieces: AsyncIterable<string>): Promise<void> {
  for await (const piece of wholeLines(pieces))
    if (!process.stdout.write(harmless(piece))) await once(process.stdout, "drain");
}

/** Replaces the current line of standard error, if that is a terminal. */
export function redrawLine(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${visible(text)}`);
}

/** Where a command writes. Its result goes to `out`: lines, a table or a document. All else goes to `say`. */
export type Terminal = {
  out(text: string): void;
  /** One line. A line feed in it is part of a value, and is shown as `\n`. */
  say(line: string): void;
  /** Progress, for a person at a terminal and not for a log. One line. */
  note(line: string): void;
  /** A command for the CI system, on standard error unless it is the result. */
  command(line: string, stream?: "out" | "err"): void;
};

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
 * Masks texts in the job's log. GitHub's runner reads commands from standard error too, so standard output stays the
 * result alone. Other CI systems have no such command.
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

/** GitLab masks only the variables of its settings, so a printed token is readable in the job's log. */
export function warnOfPrinting(environment: Environment, { say }: Pick<Terminal, "say">): void {
  if (environment.GITLAB_CI !== "true") return;
  say("Warning: GitLab cannot mask this token. Capture it, as in TOKEN=$(...), or the job's log shows it.");
}

// A line end would end the command and show the rest of the text.
const escapeCommand = (text: string): string =>
  text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");

const width = 30;
const everyMs = 100;

/**
 * A progress bar on standard error, only on a terminal.
 * @returns `show` draws at most every 100 ms; `clear` removes the bar before the command writes again
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
