import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { systemReason } from "../../core/error-code.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, type JsonObject } from "../client/json-value.js";
import { harmless } from "../client/output.js";
import type { OperatorContext } from "./operator-client.js";

type ValueSource = { fromFile?: string | undefined; argument?: string | undefined };

/**
 * Reads a value byte for byte: from a file, from standard input, or at a terminal from a hidden prompt, twice.
 * @param what - for the prompt: "Value of aws_creds"
 * @throws CommandFailure when it is empty or not given
 */
export async function readValue(context: OperatorContext, source: ValueSource, what: string): Promise<Buffer> {
  const value = await bytesOf(context, source, what, "value");
  if (value.length === 0) throw new CommandFailure(exitCodes.usage, "The value is empty. Nothing was sent.");
  return value;
}

/** Reads a credential, such as a token or a client's secret. Surrounding blanks are removed. */
export async function readCredential(context: OperatorContext, source: ValueSource, what: string): Promise<string> {
  const text = (await bytesOf(context, source, what, "credential")).toString("utf8").trim();
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new CommandFailure(
    exitCodes.usage,
    text === "" ? `${what}: the input is empty.` : `${what}: it contains blanks or characters that are not ASCII.`,
  );
}

/** A value as the API takes it: text, or base64 where the bytes are not UTF-8. */
export function valueMembers(value: Buffer): { value: string } | { valueBase64: string } {
  return isUtf8(value) ? { value: value.toString("utf8") } : { valueBase64: value.toString("base64") };
}

const maxInputMiB = 16;

/**
 * Reads a file or a pipe to its end, within a limit: `/dev/zero` would fill the memory.
 * @param name - of the file, for the message
 * @throws CommandFailure when it is larger than 16 MiB
 */
export async function readInput(input: AsyncIterable<Uint8Array>, name: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of input) {
    bytes += part.length;
    parts.push(part);
    if (bytes > maxInputMiB * 1024 * 1024)
      throw new CommandFailure(exitCodes.usage, `${name} has more than ${maxInputMiB} MiB, which is the limit.`);
  }
  return Buffer.concat(parts);
}

/** A file, or standard input for `-`. @throws CommandFailure when it cannot be read */
export async function readGivenFile(context: OperatorContext, path: string): Promise<Buffer> {
  if (path === "-") return context.readInput();
  return readInput(createReadStream(path), path).catch((error: unknown) => {
    if (error instanceof CommandFailure) throw error;
    throw new CommandFailure(exitCodes.usage, whyUnreadable(path, error));
  });
}

/** A YAML or JSON file that holds one object. @throws CommandFailure with line and column when it cannot be read */
export async function readDocument(context: OperatorContext, path: string): Promise<JsonObject> {
  const text = (await readGivenFile(context, path)).toString("utf8");
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error) {
    const place = error.linePos?.[0];
    const at = place === undefined ? path : `${path}:${place.line}:${place.col}`;
    throw new CommandFailure(exitCodes.usage, `${at}: not valid YAML or JSON.`);
  }
  const value: unknown = document.toJS();
  if (isObject(value)) return value;
  throw new CommandFailure(exitCodes.usage, `${path}: not a mapping of names to values.`);
}

async function bytesOf(
  context: OperatorContext,
  { fromFile, argument }: ValueSource,
  what: string,
  kind: "value" | "credential",
): Promise<Buffer> {
  if (fromFile !== undefined && argument !== undefined)
    throw new CommandFailure(exitCodes.usage, "A value on the command line and --from-file are both given. Keep one.");
  if (fromFile !== undefined) return readGivenFile(context, fromFile);
  if (argument !== undefined) {
    context.terminal.say(
      "Warning: a value on the command line is kept in the shell's history, and other users of this machine can see it. Use --from-file, or pipe it in.",
    );
    return Buffer.from(argument, "utf8");
  }
  if (context.person.isAtTerminal) return typedValue(context, what, kind === "value" ? "twice" : "once");
  return kind === "value" ? pipedValue(context) : context.readInput();
}

async function pipedValue({ readInput, terminal }: OperatorContext): Promise<Buffer> {
  const value = await readInput();
  // A password with a line end does not work, but values are stored byte for byte.
  if (/^[^\n]+\n$/.test(value.toString("latin1")))
    terminal.say("Note: the value ends with a line end, as `echo` adds it. To leave it out, use `printf %s`.");
  return value;
}

async function typedValue({ person }: OperatorContext, what: string, typed: "once" | "twice"): Promise<Buffer> {
  const value = await person.askHidden(`${what} (not shown): `);
  if (typed === "twice" && (await person.askHidden("Once more: ")) !== value)
    throw new CommandFailure(exitCodes.usage, "The two values differ. Nothing was stored.");
  return Buffer.from(value, "utf8");
}

function whyUnreadable(path: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
  if (code === "ENOENT") return `There is no file ${path}.`;
  if (code === "EISDIR") return `${path} is a folder. Name a file.`;
  if (code === "EACCES") return `You are not allowed to read ${path}.`;
  return `${path} cannot be read (${systemReason(error)}).`;
}

export type Person = {
  /** Whether input and output are a terminal. */
  isAtTerminal: boolean;
  ask(question: string): Promise<string>;
  /** One line, which is not echoed. */
  askHidden(question: string): Promise<string>;
};

type Streams = {
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  output: NodeJS.WritableStream & { isTTY?: boolean };
  /** Called for Ctrl-C, which is not a signal while a line is read. */
  interrupt: () => void;
};

/** The lines of a pasted text arrive within this time. */
const pasteMs = 50;

export function personAt({ input, output, interrupt }: Streams): Person {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  return {
    isAtTerminal: input.isTTY === true && output.isTTY === true,
    async ask(question) {
      const [answer = ""] = await readLines({ input, shown: output, interrupt, pasteMs: 0 }, () =>
        output.write(harmless(question)),
      );
      return answer.trim();
    },
    async askHidden(question) {
      const lines = await readLines({ input, shown: silent, interrupt, pasteMs }, () =>
        output.write(harmless(question)),
      );
      output.write("\n");
      // Else a pasted key would be stored as its first line.
      if (lines.length > 1)
        throw new CommandFailure(exitCodes.usage, "The input has several lines. Pass it with --from-file FILE.");
      return lines[0] ?? "";
    },
  };
}

type Reading = Pick<Streams, "input" | "interrupt"> & { shown: NodeJS.WritableStream; pasteMs: number };

/** One line, and those pasted with it. @throws CommandFailure when the input ends first */
function readLines({ input, shown, interrupt, pasteMs }: Reading, ask: () => void): Promise<string[]> {
  const lines: string[] = [];
  const reader = createInterface({ input, output: shown, terminal: true, historySize: 0 });
  return new Promise((resolve, reject) => {
    reader.on("SIGINT", () => {
      reader.close();
      interrupt();
    });
    reader.on("line", (line) => {
      if (lines.push(line) === 1) setTimeout(() => reader.close(), pasteMs);
    });
    reader.on("close", () => {
      if (lines.length > 0) resolve(lines);
      else reject(new CommandFailure(exitCodes.usage, "The input ended without an answer."));
    });
    ask();
  });
}

/**
 * Asks for confirmation.
 * @param what - what would happen, as a sentence
 * @throws CommandFailure when the answer is not yes, or there is no terminal
 */
export async function confirm(person: Person, yes: boolean | undefined, what: string): Promise<void> {
  if (yes === true) return;
  if (!person.isAtTerminal)
    throw new CommandFailure(
      exitCodes.usage,
      `${what} Not confirmed: no terminal. Pass \`--yes\` to skip the question.`,
    );
  const answer = await person.ask(`${what} Continue? [y/N] `);
  if (!/^y(es)?$/i.test(answer)) throw new CommandFailure(exitCodes.failed, "Not confirmed. Nothing was changed.");
}
