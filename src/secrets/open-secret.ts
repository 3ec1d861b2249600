import type { AuditWriter } from "../audit/record.js";
import type { Actor, FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import { EnvelopeError, openSecret as openEnvelope, type SecretPlace } from "../crypto/envelope.js";
import { DataKeyUnreadable } from "../crypto/key-ring.js";
import { Plaintext } from "../crypto/plaintext.js";
import type { PrismaClient } from "../db/database.js";
import type { FactoryKeys } from "./factory-keys.js";
import { findCiphertext } from "./read-secrets.js";

export type OpenDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  factoryKeys: FactoryKeys;
  onOpenFailed(): void;
};

/** Different failures of a factory in a minute; those beyond are counted by secret and version, whoever asked. */
const maxFailuresOfFactory = 200;

/** What is stored of one version. */
export type SealedValue = { dataKeyId: string; ciphertext: Buffer };

/**
 * Opens one version of a secret for the broker. Whoever calls this audits the read before any answer leaves.
 * @param input.sealed - what is stored of it, when it was read already
 * @returns `undefined` when that version is gone
 * @throws Problem `secret-unreadable`, the same for every reason, after an audit event and a metric;
 *   `key-unavailable` when the data key is not in memory and its key-encryption key does not answer, or when nothing can
 *   be sealed for this factory either
 */
export async function openSecretVersion(
  deps: OpenDeps,
  input: {
    factory: FactoryRef;
    actor: Actor;
    secret: { id: string; name: string; version: number };
    sealed?: SealedValue | undefined;
  },
): Promise<Plaintext | undefined> {
  const { factory, actor, secret, sealed } = input;
  try {
    return await openStored(deps, { factoryId: factory.id, secretId: secret.id, version: secret.version }, sealed);
  } catch (error) {
    if (!(error instanceof EnvelopeError)) throw error;
    deps.onOpenFailed();
    const body = { action: "secret.open-failed", secret: secret.name, secretVersion: secret.version } as const;
    const event = { at: databaseNow(), outcome: "failed", actor, factory, body } as const;
    const key = [secret.name, String(secret.version)];
    await deps.audit.writeCounted(
      { key: [actor.kind, actor.id, ...key], event },
      { key, event, maxOfFactory: maxFailuresOfFactory },
    );
    throw (
      (await whyNotSetAgain(deps.factoryKeys, factory.id)) ??
      new Problem(
        "secret-unreadable",
        `The stored bytes of the secret "${secret.name}" do not open. Set it again: fioctl secrets update ${secret.name}=...`,
      )
    );
  }
}

/** What is in the way of sealing a value for this factory, if anything is. */
async function whyNotSetAgain(factoryKeys: FactoryKeys, factoryId: string): Promise<Problem | undefined> {
  try {
    await factoryKeys.of(factoryId).then(({ seal, fingerprint }) => [seal, fingerprint]);
    return undefined;
  } catch (error) {
    return error instanceof DataKeyUnreadable ? error : undefined;
  }
}

async function openStored(
  { prisma, factoryKeys }: Pick<OpenDeps, "prisma" | "factoryKeys">,
  place: SecretPlace,
  sealed: SealedValue | undefined,
): Promise<Plaintext | undefined> {
  let missing: string | undefined;
  for (let held = sealed; ; held = undefined) {
    const row = held ?? (await findCiphertext(prisma, place));
    if (!row) return undefined;
    const key = await factoryKeys.find(place.factoryId, row.dataKeyId);
    if (key) return Plaintext.fromBytes(openEnvelope(key, place, row.ciphertext));
    // Sealed anew since it was read, and its old data key removed: what is there now is read again.
    if (missing === row.dataKeyId) throw new EnvelopeError();
    missing = row.dataKeyId;
  }
}
