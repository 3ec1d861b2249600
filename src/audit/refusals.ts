import { databaseNow } from "../core/database-clock.js";
import type { AuditWriter } from "./record.js";

const windowMs = 60_000;
/** A flood from many addresses must not become a flood of memory; what exceeds it is counted together. */
const maxAddresses = 10_000;
const others = "others";

/**
 * Counts the refusals of callers who have no valid credential: one audit row for each address and minute, so that a
 * flood of bad tokens costs its sender more than it costs us.
 */
export class UnknownCallers {
  readonly #audit: AuditWriter;
  readonly #onError: (error: unknown) => void;
  #counts = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(deps: { audit: AuditWriter; onError: (error: unknown) => void }) {
    this.#audit = deps.audit;
    this.#onError = deps.onError;
    this.#timer = setInterval(() => void this.flush(), windowMs).unref();
  }

  refused(address: string): void {
    this.#add(address, 1);
  }

  #add(address: string, count: number): void {
    const key = this.#counts.has(address) || this.#counts.size < maxAddresses ? address : others;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  /**
   * Writes down what was counted. Also called at shutdown, so that the last minute is not lost. A count that cannot be
   * written is kept for the next time.
   */
  async flush(): Promise<void> {
    const counts = this.#counts;
    this.#counts = new Map();
    const at = databaseNow();
    const rows = [...counts].map(([address, count]) =>
      this.#audit
        .write({
          at,
          outcome: "refused",
          actor: { kind: "unknown", id: "", name: "" },
          address,
          body: { action: "authentication.refused", count },
        })
        .catch((error: unknown) => {
          this.#add(address, count);
          this.#onError(error);
        }),
    );
    await Promise.all(rows);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}
