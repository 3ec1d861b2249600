import { createHash, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import type { EventBody } from "../../../audit/events.js";
import type { AuditWriter, RequestedBy } from "../../../audit/record.js";
import type { KeyRing, WrappedSigningKey } from "../../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../../db/database.js";
import { maxRelayTokenSeconds, maxSkewSeconds, maxTokenSeconds } from "../signed-tokens.js";
import {
  announceSigningKey,
  dropAnnouncedKey,
  placeSigningKey,
  promoteSigningKey,
  type Raised,
  type StoredSigningKey,
} from "./store.js";

export type RotateDeps = { prisma: PrismaClient; audit: AuditWriter; keys: KeyRing };

/** The key that is meant, when, and who asked for it. */
export type Rotation = { use: KeyUse; now: Date; requested?: RequestedBy };

/** What a rotation did: the key it was about, and the raised generation, by which every replica notices. */
export type Rotated = { keyId: string; raised: Raised };

/**
 * Makes a key and puts it in the place of the one that signs, which goes on verifying until its last token has expired.
 * @param input.replacedId - the key that signs now; `undefined` when there is none yet
 * @param input.isLost - the old key is known to somebody else: it verifies no more, nor does one that waits for its turn
 * @returns `undefined` when another replica was faster: read again
 */
export async function rotateSigningKey(
  deps: RotateDeps,
  input: Rotation & { replacedId: string | undefined; isLost?: boolean },
): Promise<Rotated | undefined> {
  const { use, replacedId, now, isLost = false } = input;
  const made = await makeKey(deps.keys, use);
  const verifyUntil = isLost ? now : after(now, use.verifySeconds);
  const replaced = replacedId === undefined ? undefined : { id: replacedId, verifyUntil };
  return deps.prisma.$transaction(async (transaction) => {
    if (isLost) await dropAnnouncedKey(transaction, use.purpose);
    const raised = await placeSigningKey(transaction, { ...made, createdAt: now }, replaced);
    if (!raised) return undefined;
    await record(deps, transaction, replaced ? "signing-key.replaced" : "signing-key.created", made.id, input);
    return { keyId: made.id, raised };
  });
}

/**
 * Makes a key that is published from now on, and signs after `announceSeconds`.
 * @returns `undefined` when one waits already
 */
export async function announceKey(deps: RotateDeps, input: Rotation): Promise<(Rotated & { at: Date }) | undefined> {
  const { use, now } = input;
  const made = await makeKey(deps.keys, use);
  const signsFrom = after(now, use.announceSeconds);
  const waiting = { ...made, createdAt: now, signsFrom, verifyUntil: after(signsFrom, signsSeconds) };
  return deps.prisma.$transaction(async (transaction) => {
    const raised = await announceSigningKey(transaction, waiting);
    if (!raised) return undefined;
    await record(deps, transaction, "signing-key.announced", made.id, input);
    return { keyId: made.id, raised, at: signsFrom };
  });
}

/** Lets the key that waits sign in the place of the present one. @returns `undefined` when another replica was faster */
export async function promoteKey(
  deps: Pick<RotateDeps, "prisma" | "audit">,
  input: Rotation & { waitingId: string; replacedId: string },
): Promise<Rotated | undefined> {
  const { use, now, waitingId, replacedId } = input;
  const verifyUntil = after(now, use.verifySeconds);
  return deps.prisma.$transaction(async (transaction) => {
    const raised = await promoteSigningKey(transaction, use.purpose, waitingId, { id: replacedId, verifyUntil }, now);
    if (!raised) return undefined;
    await record(deps, transaction, "signing-key.replaced", waitingId, input);
    return { keyId: waitingId, raised };
  });
}

async function record(
  { audit }: Pick<RotateDeps, "audit">,
  transaction: Transaction,
  action: Extract<EventBody, { keyId: string; alg: string }>["action"],
  keyId: string,
  { use, now, requested }: Rotation,
): Promise<void> {
  const { purpose, alg } = use;
  await audit.writeWith(transaction, [
    {
      at: now,
      outcome: "allowed",
      actor: { kind: "service", id: "", name: "factory-secrets" },
      body: { action, keyId, purpose, alg },
      ...requested,
    },
  ]);
}

function after(time: Date, seconds: number): Date {
  return new Date(time.getTime() + seconds * 1000);
}

const generate = promisify(generateKeyPair);

/** A new key for this use, its private half wrapped. `publicKey` is SPKI, DER. */
export async function makeKey(
  keys: KeyRing,
  { purpose, alg }: KeyUse,
): Promise<WrappedSigningKey & { publicKey: Buffer }> {
  const { publicKey, privateKey } = await makePair(alg);
  const bytes = privateKey.export({ format: "der", type: "pkcs8" });
  try {
    const wrapped = await keys.wrapSigningKey({ id: thumbprint(publicKey), purpose, alg }, bytes);
    return { ...wrapped, publicKey: publicKey.export({ format: "der", type: "spki" }) };
  } finally {
    bytes.fill(0);
  }
}

/** RFC 7518, sections 3.3 (RSA: 2,048 bits or more) and 3.4. */
function makePair(alg: KeyUse["alg"]): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  switch (alg) {
    case "ES256":
      return generate("ec", { namedCurve: "P-256" });
    case "RS256":
      return generate("rsa", { modulusLength: 2048 });
    default:
      return alg satisfies never;
  }
}

/** The `kid`: SHA-256 of the required members of the JWK in the order of their names (RFC 7638, section 3). */
function thumbprint(publicKey: KeyObject): string {
  const { crv, e, kty, n, x, y } = publicKey.export({ format: "jwk" });
  const required = kty === "RSA" ? { e, kty, n } : { crv, kty, x, y };
  return createHash("sha256").update(JSON.stringify(required)).digest("base64url");
}

/** What the keys of a use need to be up to date. */
export type KeyStep =
  | { do: "create" }
  | { do: "replace"; replacedId: string }
  | { do: "announce" }
  | { do: "promote"; waitingId: string; replacedId: string };

/** The key that signs; none before the first was made. */
export function signingKeyOf(keys: readonly StoredSigningKey[]): StoredSigningKey | undefined {
  return keys.find(({ verifyUntil }) => verifyUntil === undefined);
}

/**
 * Says what is due. A key signs for 30 days; where others cache it, the next one is published in time before, and
 * signs no sooner than it has been for as long as its use asks, however late that was noticed.
 * @returns `undefined` when nothing is
 */
export function nextStep(use: KeyUse, keys: readonly StoredSigningKey[], now: Date): KeyStep | undefined {
  const signing = signingKeyOf(keys);
  if (!signing) return { do: "create" };
  const waiting = keys.find(({ signsFrom }) => signsFrom !== undefined);
  if (waiting?.signsFrom) {
    return waiting.signsFrom <= now ? { do: "promote", waitingId: waiting.id, replacedId: signing.id } : undefined;
  }
  // A key that waited for its turn was made before it began to sign; that makes its time to sign shorter by as much.
  const ageSeconds = (now.getTime() - signing.createdAt.getTime()) / 1000;
  if (ageSeconds < signsSeconds - use.announceSeconds) return undefined;
  return use.announceSeconds > 0 ? { do: "announce" } : { do: "replace", replacedId: signing.id };
}

/** What the keys of one purpose sign, and how they follow one another. */
export type KeyUse = {
  purpose: "api-access" | "federation" | "relay";
  alg: "ES256" | "RS256";
  /** How long a key is published before it signs. 0: only we verify with it, and we know it at once. */
  announceSeconds: number;
  /** How long a key that was replaced is still published. */
  verifySeconds: number;
};

/** How long a key signs before another takes its place, whatever its purpose. */
export const signsSeconds = 30 * 24 * 3600;

/** Access tokens. One that was signed in the last moment lives that long, on a replica whose clock is off by the skew. */
export const apiAccess = {
  purpose: "api-access",
  alg: "ES256",
  announceSeconds: 0,
  verifySeconds: maxTokenSeconds + 2 * maxSkewSeconds,
} as const satisfies KeyUse;

/**
 * What the clouds take in place of a secret. RS256 is what all three verify. They keep a fetched key set, and none says
 * in full for how long (a day is the longest that is known); two days are more than any of them. What the old key signed
 * lives five minutes.
 */
export const federation = {
  purpose: "federation",
  alg: "RS256",
  announceSeconds: 2 * 24 * 3600,
  verifySeconds: 3600,
} as const satisfies KeyUse;

/** What a client pulls with through the relay. Nobody else verifies them, so their keys are published nowhere. */
export const relay = {
  purpose: "relay",
  alg: "ES256",
  announceSeconds: 0,
  verifySeconds: maxRelayTokenSeconds + 2 * maxSkewSeconds,
} as const satisfies KeyUse;

/** Every use, by its purpose. */
export const keyUses: Readonly<Record<KeyUse["purpose"], KeyUse>> = {
  "api-access": apiAccess,
  federation,
  relay,
};

/** The public half of a signing key that is published. */
export type PublishedKey = { id: string; key: KeyObject };

/** An ES256 key in JWK form (RFC 7517, section 4; RFC 7518, section 6.2). */
export function ecJwk({ id, key }: PublishedKey) {
  const { x, y } = key.export({ format: "jwk" });
  if (x === undefined || y === undefined) throw new Error("a key on a curve has two coordinates");
  return { kty: "EC", crv: "P-256", x, y, kid: id, use: "sig", alg: "ES256" };
}

/** An RS256 key in JWK form (RFC 7517, section 4; RFC 7518, section 6.3). */
export function rsaJwk({ id, key }: PublishedKey) {
  const { n, e } = key.export({ format: "jwk" });
  if (n === undefined || e === undefined) throw new Error("an RSA key has a modulus and an exponent");
  return { kty: "RSA", n, e, kid: id, use: "sig", alg: "RS256" };
}
