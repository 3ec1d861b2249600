import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { systemReason } from "../../core/error-code.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import type { OperatorContext } from "./operator-context.js";

/** Where a value can come from. */
export type ValueSource = { fromFile?: string | undefined; argument?: string | undefined };

/**
 * Reads a value, byte for byte: from a file, from standard input, or, where somebody sits at the terminal, typed twice
 * without being shown.
 * @param what - as it is asked for: "Value of aws_creds"
 * @throws CommandFailure when there is none
 */
export async function readValue(context: OperatorContext, source: ValueSource, what: string): Promise<Buffer> {
  const value = await bytesOf(context, source, what, "value");
  if (value.length === 0) throw new CommandFailure(exitCodes.usage, "The value is empty: is the file there?");
  return value;
}

/** Reads a credential that is presented and not stored: a token, a client's secret. Blanks around it do not count. */
export async function readCredential(context: OperatorContext, source: ValueSource, what: string): Promise<string> {
  const text = (await bytesOf(context, source, what, "credential")).toString("utf8").trim();
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new CommandFailure(
    exitCodes.usage,
    text === "" ? `${what}: there is none.` : `${what}: it holds blanks or other characters that none has.`,
  );
}

/** As the API takes a value: text, or the bytes in base64 where they are none. */
export function valueMembers(value: Buffer): { value: string } | { valueBase64: string } {
  return isUtf8(value) ? { value: value.toString("utf8") } : { valueBase64: value.toString("base64") };
}

const maxInputMiB = 16;

/**
 * Reads a file or a pipe to its end. More than any value or document may have would fill the memory first: `/dev/zero`
 * and a pipe that never closes have no end.
 * @param name - of the file, for a person
 * @throws CommandFailure when it is larger than 16 MiB
 */
export async function readInput(input: AsyncIterable<Uint8Array>, name: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of input) {
    bytes += part.length;
    parts.push(part);
    if (bytes > maxInputMiB * 1024 * 1024)
      throw new CommandFailure(exitCodes.usage, `${name} has more than ${maxInputMiB} MiB.`);
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
      "Warning: a value on the command line stands in the shell's history, and others on this machine can see it. Use --from-file, or pipe it in.",
    );
    return Buffer.from(argument, "utf8");
  }
  if (context.person.isThere) return typedValue(context, what, kind === "value" ? "twice" : "once");
  return kind === "value" ? pipedValue(context) : context.readInput();
}

async function pipedValue({ readInput, terminal }: OperatorContext): Promise<Buffer> {
  const value = await readInput();
  // `echo` adds one, and a password with a line end opens nothing. It is kept: what is stored is what was given.
  if (/^[^\n]+\n$/.test(value.toString("latin1")))
    terminal.say("Note: the value ends with a line end, as `echo` adds one. `printf %s` adds none.");
  return value;
}

async function typedValue({ person }: OperatorContext, what: string, typed: "once" | "twice"): Promise<Buffer> {
  const value = await person.askHidden(`${what} (not shown): `);
  if (typed === "twice" && (await person.askHidden("Once more: ")) !== value)
    throw new CommandFailure(exitCodes.usage, "The two are not the same. Nothing was stored.");
  return Buffer.from(value, "utf8");
}

function whyUnreadable(path: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
  if (code === "ENOENT") return `There is no file ${path}.`;
  if (code === "EISDIR") return `${path} is a folder. Name a file.`;
  if (code === "EACCES") return `You are not allowed to read ${path}.`;
  return `${path} cannot be read (${systemReason(error)}).`;
}
