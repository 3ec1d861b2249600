import { LRUCache } from "lru-cache";
import { atMost } from "../core/at-most.js";
import type { AuthenticationFailures } from "./authentication-failures.js";
import type { LimitedAddress } from "./limited-address.js";
import { windowSeconds } from "./too-many-requests.js";

const maxAddresses = 20_000;
const acceptedForMs = 24 * 3_600_000;
/** What a device with a chain that is too long may try before its neighbours behind one address suffer for it. */
const maxOverlong = 3;

/** Connections at once of strangers behind an address that has failed too often, and from which devices come too. */
const maxStrangers = 16;

/**
 * Which addresses may begin a handshake with a certificate. It costs us more than a sender who verifies nothing, so an
 * address that has failed too often gets none. Where devices have been accepted, they may be behind it still: there it
 * gets a few at a time, until one shows a certificate that is known.
 */
export class Handshakes {
  readonly #failures: AuthenticationFailures;
  readonly #limitedAddress: LimitedAddress;
  readonly #isLimited: boolean;
  readonly #acceptedFrom = new LRUCache<string, true>({ ...atMost(maxAddresses), ttl: acceptedForMs });
  readonly #overlong = new LRUCache<string, number>({
    ...atMost(maxAddresses),
    ttl: windowSeconds * 1000,
    ttlAutopurge: true,
    noUpdateTTL: true,
  });

  readonly #strangers = new Map<string, number>();

  /** @param deps.perMinute - failures that are allowed; 0: no limit */
  constructor(deps: { failures: AuthenticationFailures; perMinute: number; limitedAddress: LimitedAddress }) {
    this.#failures = deps.failures;
    this.#limitedAddress = deps.limitedAddress;
    this.#isLimited = deps.perMinute > 0;
  }

  /** Remembers that devices come from there. */
  accepted(address: string): void {
    const key = this.#limitedAddress(address);
    if (key !== undefined) this.#acceptedFrom.set(key, true);
  }

  /** Counts a client that has shown more than any device needs, whose verification has cost the most. */
  overlong(address: string): void {
    const key = this.#isLimited ? this.#limitedAddress(address) : undefined;
    if (key !== undefined) this.#overlong.set(key, (this.#overlong.get(key) ?? 0) + 1);
  }

  /** @returns `undefined` when it may not; else how to say that its client is known after all, or gone */
  begin(address: string): { release?: () => void } | undefined {
    if (this.#failures.isQuiet && this.#overlong.size === 0) return {};
    const key = this.#limitedAddress(address);
    if (key === undefined) return {};
    if ((this.#overlong.get(key) ?? 0) >= maxOverlong) return undefined;
    if (this.#failures.refusalOf(address) === undefined) return {};
    return this.#acceptedFrom.has(key) ? this.#beginStranger(key) : undefined;
  }

  #beginStranger(key: string): { release: () => void } | undefined {
    const now = this.#strangers.get(key) ?? 0;
    if (now >= maxStrangers) return undefined;
    this.#strangers.set(key, now + 1);
    let isCounted = true;
    const release = (): void => {
      if (!isCounted) return;
      isCounted = false;
      const left = (this.#strangers.get(key) ?? 1) - 1;
      if (left > 0) this.#strangers.set(key, left);
      else this.#strangers.delete(key);
    };
    return { release };
  }
}
