import { EventEmitter } from "node:events";
import { type DestinationStream, type Logger, pino } from "pino";
import { visible } from "../core/visible-text.js";
import type { LogLevel } from "../settings/settings.js";

export type { Logger } from "pino";

/**
 * Makes the JSON log. Nothing hands it headers or bodies; should one come by mistake, the names below are censored.
 * @param destination where lines go; standard output, written asynchronously, when absent
 */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const standardOutput = destination ?? pino.destination({ sync: false });
  // A full disk or a reader that is gone costs lines. Without a listener it would end the service.
  if (standardOutput instanceof EventEmitter) standardOutput.on("error", () => undefined);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: (line) => censored(line, maxDepth) },
      serializers: { err: errorOf },
      // JSON escapes control characters. Bidirectional marks, line separators and the like it leaves: a person who reads
      // the log in a terminal would be shown something else than what happened.
      hooks: { streamWrite: visible },
    },
    standardOutput,
  );
}

const sensitive: ReadonlySet<string> = new Set([
  "value",
  "valueBase64",
  "token",
  "password",
  "bearer",
  "authorization",
  "osf-token",
  "secretAccessKey",
]);

const maxDepth = 3;

/**
 * The same with sensitive members replaced, at any of `depth` levels; deeper objects are left out. Pino's own `redact`
 * copies each line for its wildcards: 6 % of the time of a warm token, in a profile. Here a clean line stays itself.
 */
function censored(members: Record<string, unknown>, depth: number): Record<string, unknown> {
  let result = members;
  for (const name of Object.keys(members)) {
    const value = members[name];
    const shown = sensitive.has(name) ? "[redacted]" : censoredValue(value, depth - 1);
    if (shown !== value) result = { ...result, [name]: shown };
  }
  return result;
}

// Errors are for the serializer; what has `toJSON` (a date, a `Plaintext`) says itself what is shown of it.
function censoredValue(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null || value instanceof Error || "toJSON" in value) return value;
  if (depth === 0) return "[not shown]";
  return Array.isArray(value) ? value.map((item) => censoredValue(item, depth - 1)) : censored({ ...value }, depth);
}

/**
 * An error as the log keeps it: what it is, where it came from, and the same of its causes. Messages of errors that are
 * not ours can quote what they were given, so only the first line is kept, and of database errors only the code.
 */
function errorOf(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return {
    type: error.name,
    ...(code !== undefined && { code }),
    message: isQuoting(error) ? "[not shown]" : error.message.split("\n", 1)[0]?.slice(0, 500),
    stack: (error.stack ?? "")
      .split("\n")
      .filter((line) => line.startsWith("    at "))
      .slice(0, 12),
    ...(error.cause !== undefined && depth < 4 && { cause: errorOf(error.cause, depth + 1) }),
  };
}

// Prisma's messages show the arguments of the failed call; Postgres', zod's and JSON's can show the input. What `pg`
// makes of an error of Postgres is named "error".
function isQuoting(error: Error): boolean {
  return (
    /^(error$|Prisma|DriverAdapter|Zod|\$Zod|SyntaxError)/.test(error.name) ||
    error.constructor.name.startsWith("Prisma")
  );
}
