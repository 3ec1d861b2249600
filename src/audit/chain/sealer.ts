import { setTimeout } from "node:timers/promises";
import { databaseNow } from "../../core/database-clock.js";
import type { PrismaClient } from "../../db/database.js";
import { headsOf } from "./heads/store.js";
import { batchSize, type OddEvent, type Pass, sealBatch } from "./seal-batch.js";
import type { AuditSigningKey } from "./signing-key.js";
import { signStatement } from "./statement.js";
import * as store from "./store.js";

/** How often it looks for what was committed since. */
const roundMs = 1_000;
/**
 * After a full batch the rounds rest this many times as long as it took, because requests come first; after each further
 * one half as much, because a backlog that grows must not go on growing.
 */
const restFactor = 4;
/** A checkpoint is signed when this many events or this much time came since the last, whichever is first. */
const checkpointEvents = 10_000;
const checkpointMs = 60_000;
const maxToldOf = 1_000;

type Deps = {
  prisma: PrismaClient;
  signingKey: AuditSigningKey;
  /** Told once when rounds begin to fail, not every second. */
  onError: (error: unknown) => void;
  /** Told once of each event that it passes over, and of a thousand at most: then there are plenty to look at. */
  onOdd?: (event: OddEvent) => void;
};

/**
 * Chains committed events and signs checkpoints. Runs in every replica; the lock of one row makes one of them the
 * sealer for the length of a batch. A batch is one transaction, so a crash leaves the chain whole at its last one.
 */
export class AuditSealer {
  readonly #deps: Deps;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #failing = false;
  #closing = false;
  #signedAtMs = performance.now();
  #sealedSince = 0;
  readonly #toldOf = new Set<string>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    let busy = false;
    this.#timer = setInterval(() => {
      if (busy) return;
      busy = true;
      this.#round = this.#runRound().finally(() => {
        busy = false;
      });
    }, roundMs).unref();
  }

  /**
   * Seals what is committed now and was not before. Events of transactions that still run come later.
   * @param options.wait for another replica that is sealing
   * @param options.maxEvents seals about as many; after an upgrade a backlog of years may be waiting
   * @param options.rest leaves the machine to requests between batches, and signs checkpoints when they are due
   */
  async seal(options: { wait?: boolean; maxEvents?: number; rest?: boolean } = {}): Promise<void> {
    const { wait = true, maxEvents = Number.POSITIVE_INFINITY, rest = false } = options;
    const { prisma } = this.#deps;
    const installation = await store.installationId(prisma);
    if (installation === undefined) return;
    let pass: Pass | undefined;
    for (let batches = 0; batches * batchSize < maxEvents && !this.#closing; batches += 1) {
      if (pass === undefined && !(await store.hasUnsealed(prisma))) return;
      const startedMs = performance.now();
      const batch = await prisma.$transaction((transaction) => sealBatch(transaction, { installation, wait, pass }));
      this.#sealedSince += batch.sealed;
      this.#tellOf(batch.odd);
      pass = batch.pass;
      if (pass === undefined) return;
      if (!rest) continue;
      const restMs = ((performance.now() - startedMs) * restFactor) / 2 ** batches;
      await this.#checkpointIfDue();
      await setTimeout(restMs, undefined, { ref: false });
    }
  }

  /**
   * Signs the end of a chain, unless it is signed already.
   * @param chain the installation's id or a factory's
   * @returns false when the chain has not begun
   */
  async checkpoint(chain: string): Promise<boolean> {
    const { prisma, signingKey } = this.#deps;
    const installation = await store.installationId(prisma);
    const head = (await headsOf(prisma, [chain])).get(chain);
    if (installation === undefined || head === undefined) return false;
    const { position } = head;
    const last = await store.lastStatement(prisma, chain, "checkpoint");
    if (last !== undefined && last.position >= position) return true;
    const signed = signStatement(await signingKey.current(installation), {
      type: "factory-secrets.audit-checkpoint.v1",
      at: databaseNow().toISOString(),
      installation,
      chain,
      position,
      hash: head.hash.toString("hex"),
    });
    await store.insertCheckpoint(prisma, { chain, position, signed });
    return true;
  }

  /** How many events are committed and not sealed; 100,000 when there are more. */
  backlog(): Promise<number> {
    return store.countUnsealed(this.#deps.prisma);
  }

  /** Stops, after the batch that is being sealed. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#timer);
    await this.#round;
  }

  #tellOf(odd: readonly OddEvent[]): void {
    for (const event of odd) {
      if (this.#toldOf.size >= maxToldOf || this.#toldOf.has(event.eventId)) continue;
      this.#toldOf.add(event.eventId);
      this.#deps.onOdd?.(event);
    }
  }

  async #runRound(): Promise<void> {
    try {
      await this.seal({ wait: false, rest: true });
      await this.#checkpointIfDue();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) this.#deps.onError(error);
      this.#failing = true;
    }
  }

  // Also between batches: a round may never end while events come as fast as they are sealed.
  async #checkpointIfDue(): Promise<void> {
    if (this.#sealedSince < checkpointEvents && performance.now() - this.#signedAtMs < checkpointMs) return;
    const installation = await store.installationId(this.#deps.prisma);
    if (installation !== undefined) await this.checkpoint(installation);
    this.#signedAtMs = performance.now();
    this.#sealedSince = 0;
  }
}
