import { readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { errorCode } from "../../core/error-code.js";
import { packageRoot } from "../../core/package-root.js";
import { Problem, type ProblemCode } from "../../core/problem.js";
import type { RegistryEntry } from "../../factory-config/entry.js";
import type { ConfigDocuments, ReadDocument } from "../../factory-config/read-document.js";
import type { ListContent, RevocationListReader } from "../../identity/devices/revocation-lists.js";
import type { DocumentFailure } from "../../observability/metrics.js";
import type { Answer, InputOf, OutputOf, TaskName } from "./document-tasks.js";

/** Bundled from document-thread.ts. Beside this file there is TypeScript, which a thread cannot load. */
const threadFile = new URL("dist/service/documents/document-thread.cjs", packageRoot);

/** The worst document that is within the limits takes half a second. */
const maxTaskMs = 10_000;

/** Of the thread's heap. The worst document that is within the limits needs a quarter of it. */
const maxHeapMb = 256;

/** Tasks of one factory that wait. More of them would only time out. */
const maxWaiting = 40;

type Job = { name: TaskName; begin(thread: Worker): void; fail(error: Error): void };

/**
 * Reads and edits documents of tenants in one thread beside the event loop: a factory config of 256 KiB can take half a
 * second, a revocation list a tenth, and every other request would wait. Factories take turns, so one that sends many
 * documents makes another wait for one task at most.
 */
export class DocumentWorker implements ConfigDocuments, RevocationListReader {
  #thread: Worker | undefined;
  #current: Job | undefined;
  #isClosed = false;
  /** By factory. The first is next; a factory that had its turn goes to the end. */
  readonly #waiting = new Map<string, Job[]>();
  readonly #program: string;
  readonly #limits: { taskMs: number; heapMb: number };
  readonly #onFailure: (failure: DocumentFailure, error?: unknown) => void;

  /**
   * Reads the thread's program at once, for its file may be replaced while this process runs. The thread itself starts
   * with the first document: it takes 35 MB.
   * @param onFailure - told when a document takes too much, and when the thread fails for another reason
   */
  constructor(
    onFailure: (failure: DocumentFailure, error?: unknown) => void = () => undefined,
    limits: { taskMs?: number; heapMb?: number } = {},
  ) {
    this.#onFailure = onFailure;
    this.#limits = { taskMs: maxTaskMs, heapMb: maxHeapMb, ...limits };
    this.#program = readFileSync(threadFile, "utf8");
  }

  read(factoryId: string, document: Uint8Array): Promise<ReadDocument> {
    return this.#run(factoryId, "readDocument", copyOf(document));
  }

  addEntry(factoryId: string, text: string, entry: RegistryEntry): Promise<string> {
    return this.#run(factoryId, "addEntry", text, entry);
  }

  replaceEntry(factoryId: string, text: string, id: string, entry: RegistryEntry): Promise<string> {
    return this.#run(factoryId, "replaceEntry", text, id, entry);
  }

  removeEntry(factoryId: string, text: string, id: string): Promise<string> {
    return this.#run(factoryId, "removeEntry", text, id);
  }

  readRevocationList(
    factoryId: string,
    list: Uint8Array,
    issuers: readonly Uint8Array[],
  ): Promise<ListContent | { unsuitable: string }> {
    return this.#run(factoryId, "readRevocationList", copyOf(list), issuers.map(copyOf));
  }

  /** Ends the thread. What still waits fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#thread?.terminate();
  }

  #run<N extends TaskName>(factoryId: string, name: N, ...input: InputOf<N>): Promise<OutputOf<N>> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw stopping();
      const queue = this.#waiting.get(factoryId) ?? [];
      if (queue.length >= maxWaiting) throw tooManyDocuments();
      queue.push({
        name,
        fail: reject,
        begin: (thread) => {
          thread.once("message", (answer: Answer<OutputOf<N>>) => {
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
      this.#onFailure("too-slow");
      job.fail(tookTooMuch(job.name, "time"));
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
    const resourceLimits = { maxOldGenerationSizeMb: this.#limits.heapMb };
    // Nothing of the environment: it may hold secrets, and a document needs none of it.
    const place = { eval: true, workerData: threadFile.href };
    const thread = new Worker(this.#program, { ...place, env: {}, execArgv: [], resourceLimits });
    thread.unref();
    thread.on("error", (error) => this.#failCurrent(error));
    // Prepended: the next task must find that this thread is gone.
    thread.prependOnceListener("exit", () => {
      this.#thread = undefined;
      const error = this.#isClosed ? stopping() : threadFailed();
      this.#current?.fail(error);
      if (this.#isClosed) for (const job of [...this.#waiting.values()].flat()) job.fail(error);
    });
    this.#thread = thread;
    return thread;
  }

  #failCurrent(error: unknown): void {
    const job = this.#current;
    const isOutOfMemory = errorCode(error) === "ERR_WORKER_OUT_OF_MEMORY";
    this.#onFailure(isOutOfMemory ? "out-of-memory" : "failed", error);
    job?.fail(isOutOfMemory ? tookTooMuch(job.name, "memory") : threadFailed());
  }
}

/** The buffer may be a small part of a large one, all of which would travel. */
const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

function errorOf(answer: Exclude<Answer<unknown>, { outcome: "done" }>): Error {
  if (answer.outcome === "failed") return new Error("a task on a document failed", { cause: answer.error });
  const { code, detail, invalid } = answer;
  return new Problem(code, detail, { ...(invalid && { invalid }) });
}

const stopping = (): Problem =>
  new Problem("unavailable", "The service is stopping. Try again.", { retryAfterSeconds: 1 });

const threadFailed = (): Problem =>
  new Problem("unavailable", "This document could not be read: the thread that reads it ended. Try again.", {
    retryAfterSeconds: 1,
  });

function tookTooMuch(name: TaskName, what: "time" | "memory"): Problem {
  const [code, document]: [ProblemCode, string] =
    name === "readRevocationList"
      ? ["certificate-unsuitable", "revocation list"]
      : ["invalid-config", "factory config"];
  return new Problem(code, `Reading this ${document} took too much ${what}. Make it smaller or simpler.`);
}

const tooManyDocuments = (): Problem =>
  new Problem(
    "too-many-requests",
    `${maxWaiting} requests of this factory wait for their documents to be read. Try again in 1 s.`,
    { retryAfterSeconds: 1 },
  );
