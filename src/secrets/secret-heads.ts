import { LRUCache } from "lru-cache";
import { atMost } from "../core/at-most.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import type { SecretItem } from "./plan-change.js";
import { readHeads } from "./read-secrets.js";
import type { SecretChange, SecretHead } from "./write-statement.js";

const maxRemembered = 50_000;

/**
 * What was last seen of each secret, so that a write need not read first. It may be out of date: the write itself
 * compares, and reads again when it was. Writers of one name in this process take turns, since only one could win.
 */
export class SecretHeads {
  readonly #prisma: PrismaClient;
  readonly #heads = new LRUCache<string, SecretHead>(atMost(maxRemembered));
  readonly #counts = new LRUCache<string, number>(atMost(10_000));
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(prisma: PrismaClient) {
    this.#prisma = prisma;
  }

  /** The heads of these names; those not remembered are read. Names that do not exist are absent. */
  async remembered(factoryId: string, names: readonly string[]): Promise<Map<string, SecretHead>> {
    const found = new Map<string, SecretHead>();
    for (const name of names) {
      const head = this.#heads.get(key(factoryId, name));
      if (!head) return this.readAgain(factoryId, names);
      found.set(name, head);
    }
    return found;
  }

  /** @throws Problem `not-found` when the factory is gone */
  async readAgain(factoryId: string, names: readonly string[]): Promise<Map<string, SecretHead>> {
    const { heads, secretCount } = await readHeads(this.#prisma, factoryId, names);
    if (secretCount === undefined) throw new Problem("not-found", "The factory was deleted.");
    for (const name of names) this.#heads.delete(key(factoryId, name));
    for (const head of heads) this.#heads.set(key(factoryId, head.name), head);
    this.#counts.set(factoryId, secretCount);
    return new Map(heads.map((head) => [head.name, head]));
  }

  /** How many secrets the factory had when `readAgain` last looked. */
  countOf(factoryId: string): number {
    return this.#counts.get(factoryId) ?? 0;
  }

  /** What these changes, just written, left behind. */
  remember(factoryId: string, items: readonly SecretItem[], changes: readonly SecretChange[]): void {
    const changed = new Map(changes.map((change) => [change.name, change]));
    for (const item of items) {
      const at = key(factoryId, item.name);
      const change = changed.get(item.name);
      const before = this.#heads.get(at);
      if (item.op === "put" && change && before) {
        const currentVersion = change.op === "stage" ? before.currentVersion : change.version;
        const deliverToJobs = change.op === "stage" ? before.deliverToJobs : change.deliver_to_jobs;
        this.#heads.set(at, { ...before, currentVersion, deliverToJobs, nextVersion: change.version + 1 });
      } else {
        this.#heads.delete(at);
      }
    }
  }

  /** Runs `work` when no other of this process works on any of these names. */
  async inTurn<T>(factoryId: string, names: readonly string[], work: () => Promise<T>): Promise<T> {
    const keys = names.map((name) => key(factoryId, name));
    const before = Promise.all(keys.map((at) => this.#turns.get(at)));
    const turn = before.then(work);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    for (const at of keys) this.#turns.set(at, settled);
    try {
      return await turn;
    } finally {
      for (const at of keys) if (this.#turns.get(at) === settled) this.#turns.delete(at);
    }
  }
}

const key = (factoryId: string, name: string): string => `${factoryId}/${name}`;
