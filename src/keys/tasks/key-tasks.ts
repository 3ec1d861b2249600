import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { KeyUnavailable } from "../../crypto/key-encryption-key.js";
import { readKnownKeys } from "../../crypto/open-key-ring.js";
import { proveActiveKey } from "../change-keys.js";
import { forgetReplica, reportReplica } from "../store.js";
import { runTask, type TaskDeps, workOf } from "./run-task.js";
import { claimTask, listIdleTasks, releaseTask } from "./store.js";

const tickMs = 2_000;
const checkKeysMs = 30_000;
const retrySeconds = 10;

/**
 * What a replica does for keys in the background: it tells the others which ones it holds, works on tasks that no one
 * works on (they are taken up after a crash, by whichever replica is first), and asks keys that are elsewhere whether
 * they still answer and are still those that were added, so that `/readyz` tells of it before someone needs them.
 */
export class KeyTasks {
  readonly #deps: TaskDeps & { onError: (error: unknown, what: string) => void };
  readonly #holder = randomUUID();
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  #loop: Promise<unknown> | undefined;
  #checkedAtMs = Number.NEGATIVE_INFINITY;

  constructor(deps: TaskDeps & { onError: (error: unknown, what: string) => void }) {
    this.#deps = deps;
  }

  start(): void {
    this.#loop = Promise.all([this.#tickUntilClosed(), this.#proveActiveKey()]);
  }

  /** Works on a task, if no one does yet. */
  begin(id: string): void {
    if (this.#running.has(id) || this.#stopping.signal.aborted) return;
    const running = this.#work(id).finally(() => this.#running.delete(id));
    this.#running.set(id, running);
  }

  /** Stops after the batches that are under way, and lets others go on at once. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    await Promise.all(this.#running.values());
    await forgetReplica(this.#deps.prisma, this.#holder).catch(() => undefined);
  }

  async #tickUntilClosed(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#tick().catch((error: unknown) => this.#deps.onError(error, "the keys could not be looked after"));
      await sleep(tickMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  async #tick(): Promise<void> {
    const { prisma, keys } = this.#deps;
    const held = keys.keys.map(({ id }) => id);
    await reportReplica(prisma, this.#holder, held);
    for (const id of await listIdleTasks(prisma, held)) this.begin(id);
    await this.#checkKeys();
  }

  /** Once at a start: that the check value opens does not say that what is stored does. */
  async #proveActiveKey(): Promise<void> {
    await proveActiveKey(this.#deps).catch((error: unknown) =>
      this.#deps.onError(error, "the active key was not seen to open what it has wrapped"),
    );
  }

  async #checkKeys(): Promise<void> {
    const { prisma, keys } = this.#deps;
    const nowMs = performance.now();
    const remote = keys.keys.filter(({ isRemote }) => isRemote);
    if (remote.length === 0 || nowMs - this.#checkedAtMs < checkKeysMs) return;
    this.#checkedAtMs = nowMs;
    const known = (await readKnownKeys(prisma)).filter(({ state }) => state !== "retired");
    // The ring remembers what went wrong, or that it is another key. What is not there any more is told by who needs it.
    for (const { id, checkValue } of known) {
      const key = remote.find((one) => one.id === id);
      if (key) await keys.fits(key, checkValue).catch(() => undefined);
    }
  }

  async #work(id: string): Promise<void> {
    const { prisma, onError } = this.#deps;
    const run = { holder: this.#holder, signal: this.#stopping.signal };
    const task = { id, holder: this.#holder };
    try {
      const claimed = await claimTask(prisma, id, this.#holder);
      if (!claimed) return;
      const outcome = await runTask(this.#deps, claimed, workOf(this.#deps, claimed.subject), run);
      if (outcome === "stopped") await releaseTask(prisma, { ...task, problem: undefined, afterSeconds: 0 });
    } catch (error) {
      onError(error, "a key task could not go on; it is tried again");
      const release = { ...task, problem: problemText(error), afterSeconds: retrySeconds };
      await releaseTask(prisma, release).catch(() => undefined);
    }
  }
}

function problemText(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof KeyUnavailable ? cause.message : "It failed; the log says why. It is tried again.";
}
