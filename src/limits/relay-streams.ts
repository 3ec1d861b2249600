import { Problem } from "../core/problem.js";

/** How many bodies are sent at once. Each holds a connection to a registry and some memory. */
export type RelayStreamBounds = { ofCaller: number; ofProcess: number };

const retryAfterSeconds = 5;

/** Counts the blobs that are being sent, by caller and in all. */
export class RelayStreams {
  readonly #bounds: RelayStreamBounds;
  readonly #onLimited: () => void;
  readonly #ofCaller = new Map<string, number>();
  #open = 0;

  constructor(bounds: RelayStreamBounds, onLimited: () => void) {
    this.#bounds = bounds;
    this.#onLimited = onLimited;
  }

  /** How many there are. */
  get open(): number {
    return this.#open;
  }

  /**
   * Takes a place for one.
   * @param caller - names whom the place counts for
   * @returns gives the place back; calling it again does nothing
   * @throws Problem `too-many-requests` when this caller, or all together, have as many as they may
   */
  enter(caller: string): () => void {
    const own = this.#ofCaller.get(caller) ?? 0;
    if (own >= this.#bounds.ofCaller) {
      throw this.#tooMany(`This caller is being sent ${own} blobs already, which is the limit.`);
    }
    if (this.#open >= this.#bounds.ofProcess) {
      throw this.#tooMany("The relay is sending as many blobs as it may.");
    }
    this.#open += 1;
    this.#ofCaller.set(caller, own + 1);
    let isLeft = false;
    return () => {
      if (isLeft) return;
      isLeft = true;
      this.#open -= 1;
      const left = (this.#ofCaller.get(caller) ?? 1) - 1;
      if (left === 0) this.#ofCaller.delete(caller);
      else this.#ofCaller.set(caller, left);
    };
  }

  #tooMany(what: string): Problem {
    this.#onLimited();
    return new Problem("too-many-requests", `${what} Try again in ${retryAfterSeconds} s.`, { retryAfterSeconds });
  }
}
