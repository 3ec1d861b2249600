import { type DataKeyPurpose, EnvelopeError } from "../crypto/envelope.js";
import { type DataKey, DataKeyUnreadable } from "../crypto/key-ring.js";

/** A stored data key: unwrapped, or why it was not. */
export type Unwrapping = { id: string; purpose: DataKeyPurpose } & ({ key: DataKey } | { error: unknown });

/** The data keys of one factory. One that is missing or does not open is in the way only of what needs it. */
export class UnwrappedKeys {
  /** None is missing, and each of them was opened. */
  readonly isWhole: boolean;
  /** Of one it could not even be asked whether it opens. */
  readonly isWaiting: boolean;
  readonly #byId: ReadonlyMap<string, Unwrapping>;
  readonly #byPurpose: ReadonlyMap<DataKeyPurpose, Unwrapping>;

  /** @param keys - of each purpose the active one first */
  constructor(keys: readonly Unwrapping[]) {
    this.isWaiting = keys.some((one) => "error" in one && !(one.error instanceof EnvelopeError));
    this.#byId = new Map(keys.map((one) => [one.id, one]));
    this.#byPurpose = new Map([...keys].reverse().map((one) => [one.purpose, one]));
    const isComplete = this.#byPurpose.has("secret") && this.#byPurpose.has("fingerprint");
    this.isWhole = isComplete && keys.every((one) => "key" in one);
  }

  /** New values are sealed under this one. @throws Problem `key-unavailable`, like all others here */
  get seal(): DataKey {
    return this.#needed("secret");
  }

  get fingerprint(): DataKey {
    return this.#needed("fingerprint");
  }

  /** There once a job of the factory has asked for AWS-shaped keys. */
  get awsKeys(): DataKey | undefined {
    return this.#byPurpose.has("aws-keys") ? this.#needed("aws-keys") : undefined;
  }

  /** Whether it was there when these were read, be it that it opens or not. */
  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** The key that something stored was sealed under. @throws EnvelopeError too, when it does not open */
  byId(id: string): DataKey | undefined {
    const one = this.#byId.get(id);
    if (one && "error" in one) throw one.error;
    return one?.key;
  }

  #needed(purpose: DataKeyPurpose): DataKey {
    const one = this.#byPurpose.get(purpose);
    if (one && "key" in one) return one.key;
    throw !one || one.error instanceof EnvelopeError ? new DataKeyUnreadable(purpose) : one.error;
  }
}
