import type { Invalid, ProblemCode } from "../../core/problem.js";
import { Problem } from "../../core/problem.js";
import { addEntry, removeEntry, replaceEntry } from "../../factory-config/edit-entries.js";
import { readDocument } from "../../factory-config/read-document.js";
import { readRevocationList } from "../../identity/devices/revocation-lists.js";

/** What reads or edits a document of a tenant that can be large. */
const documentTasks = { readDocument, addEntry, replaceEntry, removeEntry, readRevocationList };

type DocumentTasks = typeof documentTasks;
export type TaskName = keyof DocumentTasks;
export type InputOf<N extends TaskName> = Parameters<DocumentTasks[N]>;
export type OutputOf<N extends TaskName> = Awaited<ReturnType<DocumentTasks[N]>>;

/** A task with what it takes, as it is sent to the thread. */
export type Call = { [N in TaskName]: { name: N; input: InputOf<N> } }[TaskName];

/** What the thread answers. A `Problem` loses its class on the way between threads, so it travels in parts. */
export type Answer<T> =
  | { outcome: "done"; output: T }
  | { outcome: "problem"; code: ProblemCode; detail: string; invalid?: readonly Invalid[] }
  | { outcome: "failed"; error: unknown };

/** Runs a task. Never throws. */
export async function perform(call: Call): Promise<Answer<OutputOf<TaskName>>> {
  try {
    return { outcome: "done", output: await run(call) };
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
    case "readRevocationList":
      return documentTasks.readRevocationList(...call.input);
    default:
      return call satisfies never;
  }
}
