import type { Invalid, ProblemCode } from "../../core/problem.js";
import { Problem } from "../../core/problem.js";
import { addEntry, removeEntry, replaceEntry } from "../edit-entries.js";
import { type LocatedEntry, parseDocument, type SecretMention } from "../parse-document.js";

/** What a document says. Its JSON is text: a large object would take long to hand over between threads. */
export type DocumentContent = {
  entries: readonly LocatedEntry[];
  webhookSecrets: readonly SecretMention[];
  json: string;
};

export type ReadDocument =
  | { ok: true; config: DocumentContent; warnings: Invalid[] }
  | { ok: false; invalid: Invalid[] };

/** As `parseDocument`. */
function readDocument(source: Uint8Array): ReadDocument {
  const parsed = parseDocument(source);
  if (!parsed.ok) return parsed;
  const { entries, webhookSecrets, json } = parsed.config;
  return { ok: true, config: { entries, webhookSecrets, json: JSON.stringify(json) }, warnings: parsed.warnings };
}

const documentTasks = { readDocument, addEntry, replaceEntry, removeEntry };

export type DocumentTasks = typeof documentTasks;
export type TaskName = keyof DocumentTasks;

/** A task with what it takes, as it is sent to the thread. */
export type Call = { [N in TaskName]: { name: N; input: Parameters<DocumentTasks[N]> } }[TaskName];

/** What the thread answers. A `Problem` loses its class on the way between threads, so it travels in parts. */
export type Answer<T> =
  | { outcome: "done"; output: T }
  | { outcome: "problem"; code: ProblemCode; detail: string; invalid?: readonly Invalid[] }
  | { outcome: "failed"; error: unknown };

/** Runs a task. Never throws. */
export function perform(call: Call): Answer<ReturnType<DocumentTasks[TaskName]>> {
  try {
    return { outcome: "done", output: run(call) };
  } catch (error) {
    if (!(error instanceof Problem)) return { outcome: "failed", error };
    const { code, detail, invalid } = error;
    return { outcome: "problem", code, detail, ...(invalid && { invalid }) };
  }
}

function run(call: Call): ReturnType<DocumentTasks[TaskName]> {
  switch (call.name) {
    case "readDocument":
      return documentTasks.readDocument(...call.input);
    case "addEntry":
      return documentTasks.addEntry(...call.input);
    case "replaceEntry":
      return documentTasks.replaceEntry(...call.input);
    case "removeEntry":
      return documentTasks.removeEntry(...call.input);
    default:
      return call satisfies never;
  }
}
