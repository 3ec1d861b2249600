import { LRUCache } from "lru-cache";
import { atMost } from "../core/at-most.js";
import type { Caller } from "../core/caller.js";
import { tooManyRequests, windowSeconds } from "./too-many-requests.js";

/** Who asks is known, so these are credentials of factories and not whatever a stranger makes up. */
const maxCallers = 100_000;

/**
 * How often one caller may ask for tokens of one kind. In memory, so that the hot path keeps its one statement: what the
 * limit protects is this replica, and the clouds have limits of their own. Nothing in it waits, so that what is counted
 * can be begun in the same turn.
 */
export class TokenRequests {
  readonly #perMinute: number;
  readonly #tokens: string;
  readonly #onLimited: () => void;
  readonly #counts = new LRUCache<string, number>({
    ...atMost(maxCallers),
    ttl: windowSeconds * 1000,
    noUpdateTTL: true,
    perf: { now: () => performance.now() },
  });

  /**
   * @param deps.tokens - what they are called in the refusal
   * @param deps.perMinute - 0: no limit
   */
  constructor(deps: { tokens: string; perMinute: number; onLimited: () => void }) {
    this.#perMinute = deps.perMinute;
    this.#tokens = deps.tokens;
    this.#onLimited = deps.onLimited;
  }

  /** Counts one. @throws Problem `too-many-requests` when that is one too many */
  count(caller: Pick<Caller, "kind" | "id" | "actorId" | "name">): void {
    if (this.#perMinute === 0) return;
    const key = keyOf(caller);
    const before = this.#counts.get(key) ?? 0;
    if (before < this.#perMinute) {
      this.#counts.set(key, before + 1);
      return;
    }
    this.#onLimited();
    throw tooManyRequests(`This caller asks for ${this.#tokens} too often.`, this.#counts.getRemainingTTL(key));
  }
}

// The sessions of one OAuth client count together. The jobs that one trust rule lets in do not: they are told apart by
// their `sub`.
function keyOf({ kind, id, actorId, name }: Pick<Caller, "kind" | "id" | "actorId" | "name">): string {
  const base = `${kind} ${actorId ?? id}`;
  return kind === "oidc" ? `${base} ${name}` : base;
}
