import { createPrivateKey, createPublicKey } from "node:crypto";
import { databaseNow } from "../../core/database-clock.js";
import type { KeyRing, WrappedDataKey } from "../../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../../db/database.js";
import type { AuditWriter } from "../record.js";
import { type CheckpointSigner, publicKeyOf } from "./checkpoint.js";

const purpose = "audit-checkpoint";

/** An Ed25519 private key in PKCS #8, DER, up to its 32 bytes of seed (RFC 8410, 7). */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** The key that signs checkpoints. Opened once; a seed is a data key of the installation. */
export class AuditSigningKey {
  readonly #deps: { prisma: PrismaClient; keys: KeyRing; audit: AuditWriter };
  readonly #opened = new Map<string, CheckpointSigner>();

  constructor(deps: { prisma: PrismaClient; keys: KeyRing; audit: AuditWriter }) {
    this.#deps = deps;
  }

  /**
   * The key in use, which is made if it does not exist yet. Asks a key-encryption key, maybe over the network: not for a transaction.
   * @throws EnvelopeError when the stored key does not open
   */
  async current(installationId: string): Promise<CheckpointSigner> {
    const { prisma } = this.#deps;
    const stored = (await activeKey(prisma)) ?? (await this.#create(installationId));
    const known = this.#opened.get(stored.id);
    if (known !== undefined) return known;
    const { bytes } = await this.#deps.keys.unwrap(installationId, { ...stored.wrappedKey, purpose });
    const publicKey = publicKeyOf(stored.publicKey).bytes;
    const signer = { keyId: stored.id, privateKey: privateKeyOf(bytes), publicKey };
    this.#opened.set(stored.id, signer);
    return signer;
  }

  /**
   * Makes a new key sign from now on, on every replica. The public half of the old one is kept: what it signed stays
   * verifiable. Asks a key-encryption key, maybe over the network: not for a transaction.
   * @param since when this was asked for. A key that another rotation made since then is new enough: of two at once both
   *   give the same, and none is retired before it has signed
   * @returns the id of the key that signs now
   */
  async rotate(installationId: string, since: Date): Promise<string> {
    const { prisma } = this.#deps;
    const old = await activeKey(prisma);
    if (old === undefined) return (await this.#create(installationId)).id;
    if (old.createdAt >= since) return old.id;
    const key = await this.#make(installationId);
    const isFirst = await prisma.$transaction(async (transaction) => {
      if (!(await retireKey(transaction, old.id))) return false;
      await insertKey(transaction, key);
      await this.#deps.audit.writeWith(transaction, [keyEvent("signing-key.replaced", key.id)]);
      return true;
    });
    return isFirst ? key.id : this.rotate(installationId, since);
  }

  /** If several replicas make a key at once, the first one's is kept, and only that has an event. */
  async #create(installationId: string): Promise<AuditKey> {
    const { prisma, audit } = this.#deps;
    const key = await this.#make(installationId);
    await prisma.$transaction(async (transaction) => {
      if (await insertKey(transaction, key))
        await audit.writeWith(transaction, [keyEvent("signing-key.created", key.id)]);
    });
    const active = await activeKey(prisma);
    if (active === undefined) throw new Error("an audit key that was just made is there");
    return active;
  }

  async #make(installationId: string): Promise<AuditKey> {
    const { keys } = this.#deps;
    const wrappedKey = await keys.createDataKey(installationId, purpose);
    const { bytes } = await keys.unwrap(installationId, wrappedKey);
    const publicKey = createPublicKey(privateKeyOf(bytes)).export({ format: "der", type: "spki" });
    return { id: publicKeyOf(publicKey).id, publicKey, wrappedKey };
  }
}

function keyEvent(action: "signing-key.created" | "signing-key.replaced", keyId: string) {
  return {
    at: databaseNow(),
    outcome: "allowed",
    actor: { kind: "service", id: "", name: "factory-secrets" },
    body: { action, keyId, purpose, alg: "Ed25519" },
  } as const;
}

function privateKeyOf(seed: Buffer) {
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: "der", type: "pkcs8" });
}

type AuditKey = { id: string; publicKey: Buffer; wrappedKey: Omit<WrappedDataKey, "purpose"> };

/** The key that signs now, if one was made. */
async function activeKey(prisma: PrismaClient): Promise<(AuditKey & { createdAt: Date }) | undefined> {
  const row = await prisma.auditKey.findFirst({ where: { state: "active" } });
  if (row === null) return undefined;
  const { id, createdAt, dataKeyId, keyEncryptionKeyId } = row;
  const wrappedKey = { id: dataKeyId, keyEncryptionKeyId, wrapped: Buffer.from(row.wrapped) };
  return { id, createdAt, publicKey: Buffer.from(row.publicKey), wrappedKey };
}

/** @returns false when another was first */
async function insertKey(transaction: Transaction, { id, publicKey, wrappedKey }: AuditKey): Promise<boolean> {
  const inserted = await transaction.auditKey.createMany({
    data: {
      id,
      publicKey: new Uint8Array(publicKey),
      dataKeyId: wrappedKey.id,
      keyEncryptionKeyId: wrappedKey.keyEncryptionKeyId,
      wrapped: new Uint8Array(wrappedKey.wrapped),
    },
    skipDuplicates: true,
  });
  return inserted.count === 1;
}

/** @returns false when the key was retired before */
async function retireKey(transaction: Transaction, id: string): Promise<boolean> {
  const retired = await transaction.auditKey.updateMany({ where: { id, state: "active" }, data: { state: "retired" } });
  return retired.count === 1;
}

/** Every public key (SPKI, DER) that ever signed, the oldest first. */
export async function publicKeys(prisma: PrismaClient) {
  const rows = await prisma.auditKey.findMany({
    select: { id: true, state: true, publicKey: true, createdAt: true },
    orderBy: { createdAt: "asc" },
  });
  return rows.map((row) => ({ ...row, publicKey: Buffer.from(row.publicKey) }));
}
