import { LRUCache } from "lru-cache";
import { atMost } from "../../core/at-most.js";
import type { Caller } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Generations } from "../../db/generations.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { denialsOf } from "./denials/announced-denials.js";

const maxRemembered = 20_000;

/** A device that was let in, and until when nothing in its chain expires. */
export type Admitted = { caller: Caller; validUntil: Date };

/**
 * Devices that were let in, by the fingerprint of their certificate: for as long as no higher generation of the factory is
 * seen, nothing in the chain expires and the device is not denied.
 */
export class RememberedDevices {
  readonly #generations: Generations;
  readonly #withdrawals: Withdrawals;
  readonly #admitted = new LRUCache<string, Admitted>(atMost(maxRemembered));

  constructor({ generations, withdrawals }: { generations: Generations; withdrawals: Withdrawals }) {
    this.#generations = generations;
    this.#withdrawals = withdrawals;
    withdrawals.listen({
      onWithdrawn: (subject) => {
        if (subject.startsWith("credential ")) return;
        for (const [fingerprint, { caller }] of this.#admitted.entries())
          if (denialsOf(caller).includes(subject)) this.#admitted.delete(fingerprint);
      },
      onDoubt: () => this.#admitted.clear(),
    });
  }

  /** The device as it was let in, if that still counts. */
  get(fingerprint: string): Caller | undefined {
    const known = this.#admitted.get(fingerprint);
    if (known?.caller.factory === undefined) return undefined;
    const { factory, generation } = known.caller;
    const isCurrent = this.#generations.isCurrent(factory.id, generation) && databaseNow() <= known.validUntil;
    return isCurrent ? known.caller : undefined;
  }

  /** Whether it was let in before. Says nothing about now. */
  has(fingerprint: string): boolean {
    return this.#admitted.has(fingerprint);
  }

  set(fingerprint: string, admitted: Admitted): void {
    // It may have been judged before its denial, which was announced meanwhile.
    if (denialsOf(admitted.caller).some((denial) => this.#withdrawals.isRecent(denial))) return;
    this.#admitted.set(fingerprint, admitted);
  }

  forget(fingerprint: string): void {
    this.#admitted.delete(fingerprint);
  }
}
