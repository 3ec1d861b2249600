import { isDatabaseUnavailable } from "../core/database-errors.js";
import { createPauses } from "../core/pauses.js";

type Waiting<Item, Outcome> = {
  item: Item;
  resolve: (outcome: Outcome) => void;
  reject: (error: unknown) => void;
};

/**
 * Gathers what concurrent requests want written into one statement, each with its own outcome. One statement runs at a
 * time, the next begins when the last has ended and takes all that came meanwhile: nothing waits on purpose, and under
 * load a batch is half the connections.
 */
export class GroupCommit<Item, Outcome> {
  readonly #write: (batch: readonly Item[]) => Promise<readonly Outcome[]>;
  readonly #maxBatch: number;
  #waiting: Waiting<Item, Outcome>[] = [];
  #running: Promise<void> | undefined;

  /**
   * @param write - writes all items and answers with their outcomes, in the same order; when it fails, nothing stands
   * @param maxBatch - one statement must not outgrow what Postgres parses in a blink
   */
  constructor(write: (batch: readonly Item[]) => Promise<readonly Outcome[]>, maxBatch: number) {
    this.#write = write;
    this.#maxBatch = maxBatch;
  }

  /** Resolves with the item's own outcome, when it is durable. */
  add(item: Item): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#running ??= this.#drain();
    });
  }

  /** Resolves when nothing is waiting any more. */
  async flush(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #drain(): Promise<void> {
    // Lets the requests of this turn of the event loop join the first batch.
    await Promise.resolve();
    try {
      while (this.#waiting.length > 0) await this.#writeAndSettle(this.#waiting.splice(0, this.#maxBatch));
    } finally {
      // In the same turn as the check above: an item that is added a turn later would wait for the one behind it.
      this.#running = undefined;
    }
  }

  /** What waits for an outcome goes on at once, and hundreds of them would hold the event loop. */
  async #settle(batch: readonly Waiting<Item, Outcome>[], outcomes: readonly Outcome[]): Promise<void> {
    const pause = createPauses();
    for (const [index, outcome] of outcomes.entries()) {
      batch[index]?.resolve(outcome);
      await pause();
    }
  }

  async #writeAndSettle(batch: readonly Waiting<Item, Outcome>[]): Promise<void> {
    try {
      const outcomes = await this.#write(batch.map(({ item }) => item));
      // Not awaited: Postgres has the next batch while these are answered.
      void this.#settle(batch, outcomes);
    } catch (error) {
      // One item that Postgres will not take must not fail its neighbours.
      if (batch.length > 1 && !isDatabaseUnavailable(error)) {
        for (const one of batch) await this.#writeAndSettle([one]);
        return;
      }
      for (const { reject } of batch) reject(error);
    }
  }
}
