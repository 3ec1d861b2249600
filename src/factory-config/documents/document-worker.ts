import { Worker } from "node:worker_threads";
import { packageRoot } from "../../core/package-root.js";
import { Problem } from "../../core/problem.js";
import type { RegistryEntry } from "../entry.js";
import type { Answer, DocumentTasks, ReadDocument, TaskName } from "./document-tasks.js";

/** Bundled from document-thread.ts. Beside this file there is TypeScript, which a thread cannot load. */
const threadFile = new URL("dist/factory-config/documents/document-thread.js", packageRoot);

/** The worst document that is within the limits takes half a second. */
const maxTaskMs = 10_000;

/** Tasks of one factory that wait. More of them would only time out. */
const maxWaiting = 20;

type Job = { begin(thread: Worker): void; fail(error: Error): void };

/**
 * Reads and edits factory configs in one thread beside the event loop: a document of 256 KiB can take half a second, and
 * every other request would wait. Factories take turns, so one that sends many documents makes another wait for one task
 * at most. The thread starts with the first document.
 */
export class DocumentWorker {
  #thread: Worker | undefined;
  #current: Job | undefined;
  #isClosed = false;
  /** By factory. The first is next; a factory that had its turn goes to the end. */
  readonly #waiting = new Map<string, Job[]>();
  readonly #limits: { taskMs: number };

  constructor(limits: { taskMs: number } = { taskMs: maxTaskMs }) {
    this.#limits = limits;
  }

  /** As `parseDocument`, with the JSON as text. @throws Problem `too-many-requests`, `invalid-config` when it takes too long */
  read(factoryId: string, document: Uint8Array): Promise<ReadDocument> {
    // A copy: the buffer may be a small part of a large one, all of which would travel.
    return this.#run(factoryId, "readDocument", new Uint8Array(document));
  }

  /** As `addEntry` of edit-entries.ts. @throws Problem as `read` does too */
  addEntry(factoryId: string, text: string, entry: RegistryEntry): Promise<string> {
    return this.#run(factoryId, "addEntry", text, entry);
  }

  /** As `replaceEntry` of edit-entries.ts. @throws Problem as `read` does too */
  replaceEntry(factoryId: string, text: string, id: string, entry: RegistryEntry): Promise<string> {
    return this.#run(factoryId, "replaceEntry", text, id, entry);
  }

  /** As `removeEntry` of edit-entries.ts. @throws Problem as `read` does too */
  removeEntry(factoryId: string, text: string, id: string): Promise<string> {
    return this.#run(factoryId, "removeEntry", text, id);
  }

  /** Ends the thread. What still waits fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#thread?.terminate();
  }

  #run<N extends TaskName>(
    factoryId: string,
    name: N,
    ...input: Parameters<DocumentTasks[N]>
  ): Promise<ReturnType<DocumentTasks[N]>> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw stopping();
      const queue = this.#waiting.get(factoryId) ?? [];
      if (queue.length >= maxWaiting) throw tooManyDocuments();
      queue.push({
        fail: reject,
        begin: (thread) => {
          thread.once("message", (answer: Answer<ReturnType<DocumentTasks[N]>>) => {
            if (answer.outcome === "done") resolve(answer.output);
            else reject(errorOf(answer));
          });
          thread.postMessage({ name, input });
        },
      });
      this.#waiting.set(factoryId, queue);
      this.#beginNext();
    });
  }

  #beginNext(): void {
    const [turn] = this.#waiting;
    if (this.#current || !turn) return;
    const [factoryId, [job, ...others]] = turn;
    this.#waiting.delete(factoryId);
    if (others.length > 0) this.#waiting.set(factoryId, others);
    if (!job) return;
    this.#current = job;
    const thread = this.#thread ?? this.#start();
    const late = setTimeout(() => {
      job.fail(tookTooLong());
      void thread.terminate();
    }, this.#limits.taskMs);
    const end = (): void => {
      clearTimeout(late);
      thread.off("message", end).off("exit", end);
      this.#current = undefined;
      this.#beginNext();
    };
    job.begin(thread);
    thread.once("message", end).once("exit", end);
  }

  #start(): Worker {
    // Nothing of the environment: it may hold secrets, and a document needs none of it.
    const thread = new Worker(threadFile, { env: {}, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: 256 } });
    thread.unref();
    thread.on("error", (error) => this.#current?.fail(new Error("the thread for documents failed", { cause: error })));
    // Prepended: the next task must find that this thread is gone.
    thread.prependOnceListener("exit", () => {
      this.#thread = undefined;
      const error = this.#isClosed ? stopping() : new Error("the thread for documents ended");
      this.#current?.fail(error);
      if (this.#isClosed) for (const job of [...this.#waiting.values()].flat()) job.fail(error);
    });
    this.#thread = thread;
    return thread;
  }
}

function errorOf(answer: Exclude<Answer<unknown>, { outcome: "done" }>): Error {
  if (answer.outcome === "failed") return new Error("a task on a document failed", { cause: answer.error });
  const { code, detail, invalid } = answer;
  return new Problem(code, detail, { ...(invalid && { invalid }) });
}

const stopping = (): Problem =>
  new Problem("unavailable", "The service is stopping. Try again.", { retryAfterSeconds: 1 });

const tookTooLong = (): Problem =>
  new Problem("invalid-config", "Reading this factory config took too long. Make it smaller or simpler.");

const tooManyDocuments = (): Problem =>
  new Problem(
    "too-many-requests",
    `${maxWaiting} requests of this factory wait for their factory config to be read. Try again in 1 s.`,
    { retryAfterSeconds: 1 },
  );
