import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { z } from "zod";

const Position = z.int().min(0);
const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const ChainId = z.uuid();
const Told = { at: z.iso.datetime(), chain: ChainId, hash: Hash, installation: z.uuid(), position: Position };

const Checkpoint = z.strictObject({ ...Told, type: z.literal("factory-secrets.audit-checkpoint.v1") });
const Cut = z.strictObject({
  ...Told,
  before: z.iso.datetime(),
  type: z.literal("factory-secrets.audit-cut.v1"),
});
const Statement = z.discriminatedUnion("type", [Checkpoint, Cut]);

/** The chain had this hash (hexadecimal) at this position at this time. */
export type Checkpoint = z.output<typeof Checkpoint>;
/** Every event up to this position, where the chain had this hash, was dropped on purpose: all were older than `before`. */
export type Cut = z.output<typeof Cut>;
export type Statement = z.output<typeof Statement>;

/** A statement as it is kept and exported. `text` is what was signed, as UTF-8. */
export type SignedStatement = { text: string; keyId: string; signature: Buffer };

/** The key of the audit: Ed25519 (RFC 8032). */
export type StatementSigner = { keyId: string; privateKey: KeyObject };

export function signStatement(signer: StatementSigner, statement: Statement): SignedStatement {
  const members = Object.entries(statement).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify(Object.fromEntries(members));
  return { text, keyId: signer.keyId, signature: sign(null, Buffer.from(text, "utf8"), signer.privateKey) };
}

/**
 * What a signed statement says.
 * @param keys public keys by their id
 * @returns the statement, or why it is not believed
 */
export function readStatement(
  keys: ReadonlyMap<string, KeyObject>,
  { text, keyId, signature }: SignedStatement,
): { ok: true; statement: Statement } | { ok: false; reason: string } {
  const key = keys.get(keyId);
  if (key === undefined) return { ok: false, reason: `is signed by the key ${keyId}, which is not one of those given` };
  if (!verify(null, Buffer.from(text, "utf8"), key, signature)) return { ok: false, reason: "has a wrong signature" };
  const parsed = Statement.safeParse(JSON.parse(text));
  return parsed.success
    ? { ok: true, statement: parsed.data }
    : { ok: false, reason: "is signed but says something that this release does not know" };
}

/** Whether statements can be about a chain with this id. */
export function isChainId(id: string): boolean {
  return ChainId.safeParse(id).success;
}

/** The name of a public key: SHA-256 of its SPKI, DER, in hexadecimal. */
export function publicKeyId(spki: Buffer): string {
  return createHash("sha256").update(spki).digest("hex");
}

/** Reads a public key from its SPKI, DER. @throws when it is none, or no Ed25519 key */
export function ed25519PublicKey(spki: Buffer): KeyObject {
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  if (key.asymmetricKeyType !== "ed25519") throw new Error("The audit is signed with Ed25519; this is another key.");
  return key;
}
