import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { AuditWriter } from "../../../audit/record.js";
import type { KeyRing } from "../../../crypto/key-ring.js";
import type { PrismaClient } from "../../../db/database.js";
import type { Generations } from "../../../db/generations.js";
import { apiAccess, rotateSigningKey } from "./rotate-signing-key.js";
import { readSigningKeys, type SigningKeySnapshot, type StoredSigningKey } from "./store.js";

/** A public key in JWK form (RFC 7517, section 4; RFC 7518, section 6.2). */
export type PublicJwk = { kty: "EC"; crv: "P-256"; x: string; y: string; kid: string; use: "sig"; alg: "ES256" };

type Held = SigningKeySnapshot & { publicKeys: ReadonlyMap<string, { key: KeyObject; verifyUntil: Date | undefined }> };

const rotateAfterMs = 30 * 24 * 3_600_000;
const rereadMs = 1_000;
const maxAttempts = 5;

/**
 * The keys that access tokens are signed and verified with. What was read is remembered with the installation's
 * generation, which every rotation raises: so a replica lets go of a replaced key within a second.
 */
export class SigningKeys {
  readonly #deps: {
    prisma: PrismaClient;
    audit: AuditWriter;
    keys: KeyRing;
    generations: Generations;
    now: () => Date;
  };
  #held: Held | undefined;
  #reading: Promise<Held> | undefined;
  #lastUnknownAtMs = Number.NEGATIVE_INFINITY;
  #private: { id: string; key: KeyObject } | undefined;

  constructor(deps: {
    prisma: PrismaClient;
    audit: AuditWriter;
    keys: KeyRing;
    generations: Generations;
    now: () => Date;
  }) {
    this.#deps = deps;
  }

  /**
   * The key to sign with: made on first use, and replaced once it is 30 days old.
   * @throws EnvelopeError when the stored key does not open
   */
  async forSigning(): Promise<{ id: string; key: KeyObject }> {
    for (let attempt = 1; attempt <= maxAttempts; attempt += 1) {
      const signing = signingKey(await this.#current());
      if (signing && !this.#isOld(signing)) return this.#open(signing);
      await this.#replace(signing?.id);
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

  /** All keys that verify, newest first, as a JWK set publishes them. */
  async published(): Promise<PublicJwk[]> {
    const now = this.#deps.now();
    const { publicKeys } = await this.#current();
    return [...publicKeys].flatMap(([kid, { key, verifyUntil }]) =>
      verifyUntil !== undefined && verifyUntil <= now ? [] : [publicJwk(kid, key)],
    );
  }

  /** Replaces the key that signs if it is due. Any replica may call it at any time. */
  async rotateIfDue(): Promise<void> {
    const signing = signingKey(await this.#current());
    if (signing && this.#isOld(signing)) await this.#replace(signing.id);
  }

  #isOld({ createdAt }: StoredSigningKey): boolean {
    return this.#deps.now().getTime() - createdAt.getTime() >= rotateAfterMs;
  }

  async #replace(replacedId: string | undefined): Promise<void> {
    await rotateSigningKey(this.#deps, { replacedId, now: this.#deps.now() });
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
    const snapshot = await readSigningKeys(this.#deps.prisma, apiAccess.purpose);
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

function signingKey({ keys }: SigningKeySnapshot): StoredSigningKey | undefined {
  return keys.find(({ verifyUntil }) => verifyUntil === undefined);
}

function publicJwk(kid: string, key: KeyObject): PublicJwk {
  const { x, y } = key.export({ format: "jwk" });
  if (x === undefined || y === undefined) throw new Error("a key on a curve has two coordinates");
  return { kty: "EC", crv: "P-256", x, y, kid, use: "sig", alg: "ES256" };
}
