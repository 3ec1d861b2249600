import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { AuditWriter } from "../../../audit/record.js";
import type { KeyRing } from "../../../crypto/key-ring.js";
import type { PrismaClient } from "../../../db/database.js";
import type { Generations } from "../../../db/generations.js";
import {
  announceKey,
  type KeyStep,
  type KeyUse,
  nextStep,
  type PublishedKey,
  promoteKey,
  rotateSigningKey,
  signingKeyOf,
} from "./rotate-signing-key.js";

import { readSigningKeys, type SigningKeySnapshot, type StoredSigningKey } from "./store.js";

type Held = SigningKeySnapshot & { publicKeys: ReadonlyMap<string, { key: KeyObject; verifyUntil: Date | undefined }> };

const rereadMs = 1_000;
const maxAttempts = 5;

export type SigningKeysDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  keys: KeyRing;
  generations: Generations;
  now: () => Date;
};

/**
 * The keys of one use. What was read is remembered with the installation's generation, which every rotation raises: so a
 * replica lets go of a replaced key within a second.
 */
export class SigningKeys {
  readonly #deps: SigningKeysDeps;
  readonly #use: KeyUse;
  #held: Held | undefined;
  #reading: Promise<Held> | undefined;
  #lastUnknownAtMs = Number.NEGATIVE_INFINITY;
  #private: { id: string; key: KeyObject } | undefined;

  constructor(deps: SigningKeysDeps, use: KeyUse) {
    this.#deps = deps;
    this.#use = use;
  }

  /**
   * The key to sign with: made on first use, and replaced once it is 30 days old.
   * @throws EnvelopeError when the stored key does not open
   */
  async forSigning(): Promise<{ id: string; key: KeyObject }> {
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      const { keys } = await this.#current();
      const step = nextStep(this.#use, keys, this.#deps.now());
      const signing = signingKeyOf(keys);
      if (signing && !step) return this.#open(signing);
      if (step) await this.#take(step);
    }
    throw new Error("no signing key stayed in its place");
  }

  /** The public key of this `kid`, if it still verifies. An unknown one is looked for in the database once a second. */
  async find(kid: string): Promise<KeyObject | undefined> {
    let held = await this.#current();
    if (!held.publicKeys.has(kid) && this.#mayLookAgain()) held = await this.#read();
    const found = held.publicKeys.get(kid);
    const isRetired = found?.verifyUntil !== undefined && found.verifyUntil <= this.#deps.now();
    return isRetired ? undefined : found?.key;
  }

  /** All keys that verify, and the one that waits for its turn, newest first: what a JWK set publishes. */
  async published(): Promise<PublishedKey[]> {
    const now = this.#deps.now();
    const { publicKeys } = await this.#current();
    return [...publicKeys].flatMap(([id, { key, verifyUntil }]) =>
      verifyUntil !== undefined && verifyUntil <= now ? [] : [{ id, key }],
    );
  }

  /** Announces or replaces a key if that is due. Any replica may call it at any time. */
  async rotateIfDue(): Promise<void> {
    const { keys } = await this.#current();
    const step = nextStep(this.#use, keys, this.#deps.now());
    // The first key is made by whoever needs it.
    if (step && step.do !== "create") await this.#take(step);
  }

  // That another replica was faster is no failure: what it made is read.
  async #take(step: KeyStep): Promise<void> {
    const rotation = { use: this.#use, now: this.#deps.now() };
    switch (step.do) {
      case "create":
        await rotateSigningKey(this.#deps, { ...rotation, replacedId: undefined });
        break;
      case "replace":
        await rotateSigningKey(this.#deps, { ...rotation, replacedId: step.replacedId });
        break;
      case "announce":
        await announceKey(this.#deps, rotation);
        break;
      case "promote":
        await promoteKey(this.#deps, { ...rotation, waitingId: step.waitingId, replacedId: step.replacedId });
        break;
      default:
        step satisfies never;
    }
    await this.#read();
  }

  async #open(signing: StoredSigningKey): Promise<{ id: string; key: KeyObject }> {
    if (this.#private?.id === signing.id) return this.#private;
    const bytes = await this.#deps.keys.unwrapSigningKey(signing);
    try {
      this.#private = { id: signing.id, key: createPrivateKey({ key: bytes, format: "der", type: "pkcs8" }) };
    } finally {
      bytes.fill(0);
    }
    return this.#private;
  }

  async #current(): Promise<Held> {
    const held = this.#held;
    const isCurrent = held && this.#deps.generations.isCurrent(held.installationId, held.generation);
    return isCurrent ? held : this.#read();
  }

  #mayLookAgain(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#lastUnknownAtMs < rereadMs) return false;
    this.#lastUnknownAtMs = nowMs;
    return true;
  }

  #read(): Promise<Held> {
    this.#reading ??= this.#readNow().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readNow(): Promise<Held> {
    const snapshot = await readSigningKeys(this.#deps.prisma, this.#use.purpose);
    this.#deps.generations.observe(snapshot.installationId, snapshot.generation);
    const publicKeys = new Map(
      snapshot.keys.map(({ id, publicKey, verifyUntil }) => [
        id,
        { key: createPublicKey({ key: publicKey, format: "der", type: "spki" }), verifyUntil },
      ]),
    );
    this.#held = { ...snapshot, publicKeys };
    return this.#held;
  }
}
