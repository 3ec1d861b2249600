import { LRUCache } from "lru-cache";
import { atMost } from "../../core/at-most.js";

const maxSeen = 50_000;

/** Signatures that were good, for as long as their time stamps are. In memory: it only tells the audit of a repetition. */
export class SeenSignatures {
  readonly #seen: LRUCache<string, true>;

  constructor(keptMs: number) {
    this.#seen = new LRUCache({ ...atMost(maxSeen), ttl: keptMs });
  }

  /** @returns whether it had come before */
  add(signature: Buffer): boolean {
    const key = signature.toString("base64");
    const isKnown = this.#seen.has(key);
    this.#seen.set(key, true);
    return isKnown;
  }
}
