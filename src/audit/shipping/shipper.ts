import { randomUUID } from "node:crypto";
import type { PrismaClient } from "../../db/database.js";
import { eventLine, exportedEvent, signedLine } from "../chain/export-format.js";
import { headsOf } from "../chain/heads/store.js";
import { checkpointsWithin, installationId, lastStatement, sealedEvents } from "../chain/store.js";
import * as store from "./store.js";

/** Events of one delivery: at most about a megabyte. */
const batchSize = 200;
const idleMs = 2_000;
const leaseSeconds = 60;
const firstRetryMs = 1_000;
const lastRetryMs = 300_000;

/** A place that takes lines of the audit. `deliver` resolves when they are kept there, and throws when they may not be. */
export type Target = { id: string; label: string; deliver(text: string): Promise<void> };

type Deps = {
  prisma: PrismaClient;
  targets: readonly Target[];
  /** Told once when a target begins to fail, not at every retry. */
  onError: (label: string, error: unknown) => void;
  random?: () => number;
};

/**
 * Sends sealed events and checkpoints to outside places, in the order of the chain of the installation, at least once
 * each. Where a target stands is in the database, so what it cannot take yet waits there, and any replica can go on.
 */
export class AuditShipper {
  readonly #deps: Deps;
  readonly #holder = randomUUID();
  readonly #stopping = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  start(): void {
    this.#loops = this.#deps.targets.map((target) => this.#serve(target));
  }

  /** Stops after the delivery that is under way. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
    if (this.#loops.length > 0) await store.releaseShipments(this.#deps.prisma, this.#holder).catch(() => undefined);
  }

  /** How many sealed events each place has not got yet. */
  async lag(): Promise<readonly { target: string; events: number }[]> {
    const ids = this.#deps.targets.map(({ id }) => id);
    return ids.length === 0 ? [] : store.readLag(this.#deps.prisma, ids);
  }

  async #serve(target: Target): Promise<void> {
    const { onError, random = Math.random } = this.#deps;
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      try {
        const full = await this.ship(target);
        failures = 0;
        if (!full) await this.#pause(idleMs);
      } catch (error) {
        if (failures === 0) onError(target.label, error);
        const delayMs = Math.min(lastRetryMs, firstRetryMs * 2 ** failures);
        failures = Math.min(failures + 1, 20);
        await this.#pause(delayMs * (0.5 + random() / 2));
      }
    }
  }

  /**
   * Makes one delivery, if there is anything to send and no other process is sending.
   * @returns whether there may be more at once
   * @throws what the target throws; then nothing counts as sent
   */
  async ship(target: Target): Promise<boolean> {
    const { prisma } = this.#deps;
    await store.ensureShipment(prisma, target.id);
    const lease = { target: target.id, holder: this.#holder, seconds: leaseSeconds };
    const before = await store.leaseShipment(prisma, lease);
    const chain = await installationId(prisma);
    if (before === undefined || chain === undefined) return false;
    const head = (await headsOf(prisma, [chain])).get(chain)?.position ?? 0;
    const cut = (await lastStatement(prisma, chain, "cut"))?.position ?? 0;
    const after = Math.max(before.position, cut);
    const events = await sealedEvents(prisma, chain, { after, through: head, limit: batchSize });
    const position = events.at(-1)?.position ?? after;
    const since = Math.max(before.checkpoint, cut);
    const checkpoints = await checkpointsWithin(prisma, chain, { after: since, through: position });
    const lines = [
      ...events.map((event) => eventLine(exportedEvent(event)).line),
      ...checkpoints.map((one) => signedLine("checkpoint", one)),
    ];
    if (lines.length === 0) return false;
    await target.deliver(lines.map((line) => `${line}\n`).join(""));
    const shipped = { position, checkpoint: checkpoints.at(-1)?.position ?? since };
    await store.advanceShipment(prisma, { target: target.id, holder: this.#holder, shipped });
    return events.length > 0 && position < head;
  }

  #pause(ms: number): Promise<void> {
    const { signal } = this.#stopping;
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms).unref();
      signal.addEventListener("abort", done);
    });
  }
}
