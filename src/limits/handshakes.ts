import { LRUCache } from "lru-cache";
import type { AuthenticationFailures } from "./authentication-failures.js";
import type { LimitedAddress } from "./limited-address.js";
import { windowSeconds } from "./too-many-requests.js";

const maxAddresses = 20_000;
const acceptedForMs = 24 * 3_600_000;
/** What a device with a chain that is too long may try before its neighbours behind one address suffer for it. */
const maxOverlong = 3;

/**
 * Which addresses may begin a handshake with a certificate. It costs us as much as its sender, so an address that has
 * failed too often gets none, unless devices have been accepted from it: those may be behind it still.
 */
export class Handshakes {
  readonly #failures: AuthenticationFailures;
  readonly #limitedAddress: LimitedAddress;
  readonly #isLimited: boolean;
  readonly #acceptedFrom = new LRUCache<string, true>({ max: maxAddresses, ttl: acceptedForMs });
  readonly #overlong = new LRUCache<string, number>({
    max: maxAddresses,
    ttl: windowSeconds * 1000,
    ttlAutopurge: true,
    noUpdateTTL: true,
  });

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

  mayBegin(address: string): boolean {
    if (this.#failures.isQuiet && this.#overlong.size === 0) return true;
    const key = this.#limitedAddress(address);
    if (key === undefined) return true;
    if ((this.#overlong.get(key) ?? 0) >= maxOverlong) return false;
    return this.#failures.refusalOf(address) === undefined || this.#acceptedFrom.has(key);
  }
}
