import { createHash, generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import type { AuditWriter } from "../../../audit/record.js";
import type { RequestedBy } from "../../../audit/requested-by.js";
import type { KeyRing } from "../../../crypto/key-ring.js";
import type { PrismaClient } from "../../../db/database.js";
import { maxSkewSeconds, maxTokenSeconds } from "../token-life.js";
import { placeSigningKey } from "./store.js";

/** What the keys of this folder sign, and how. */
export const apiAccess = { purpose: "api-access", alg: "ES256" } as const;

/** A token that was signed in the last moment lives that long, on a replica whose clock is off by the skew. */
const verifySeconds = maxTokenSeconds + 2 * maxSkewSeconds;

/**
 * Makes a key and puts it in the place of the one that signs, which goes on verifying until its last token has expired.
 * @param replacedId - the key that signs now; `undefined` when there is none yet
 * @returns the id of the new key and the raised generation; `undefined` when another replica was faster: read again
 */
export async function rotateSigningKey(
  deps: { prisma: PrismaClient; audit: AuditWriter; keys: KeyRing },
  input: { replacedId: string | undefined; now: Date; requested?: RequestedBy },
): Promise<{ keyId: string; raised: { id: string; generation: bigint } } | undefined> {
  const { replacedId, now } = input;
  const made = await makeKey(deps.keys);
  const replaced =
    replacedId === undefined
      ? undefined
      : { id: replacedId, verifyUntil: new Date(now.getTime() + verifySeconds * 1000) };
  return deps.prisma.$transaction(async (transaction) => {
    const raised = await placeSigningKey(transaction, { ...made, createdAt: now }, replaced);
    if (!raised) return undefined;
    const action = replaced ? "signing-key.replaced" : "signing-key.created";
    await deps.audit.writeWith(transaction, [
      {
        at: now,
        outcome: "allowed",
        actor: { kind: "service", id: "", name: "factory-secrets" },
        body: { action, keyId: made.id, ...apiAccess },
        ...input.requested,
      },
    ]);
    return { keyId: made.id, raised };
  });
}

async function makeKey(keys: KeyRing) {
  const { publicKey, privateKey } = await promisify(generateKeyPair)("ec", { namedCurve: "P-256" });
  const bytes = privateKey.export({ format: "der", type: "pkcs8" });
  try {
    const wrapped = await keys.wrapSigningKey({ id: thumbprint(publicKey), ...apiAccess }, bytes);
    return { ...wrapped, publicKey: publicKey.export({ format: "der", type: "spki" }) };
  } finally {
    bytes.fill(0);
  }
}

/** The `kid`: SHA-256 of the required members of the JWK in the order of their names (RFC 7638, section 3). */
function thumbprint(publicKey: KeyObject): string {
  const { crv, kty, x, y } = publicKey.export({ format: "jwk" });
  return createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
}
