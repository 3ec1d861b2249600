import { dataKeyPurposeOf, fingerprint, openSecret } from "../../../src/crypto/envelope.js";
import type { KeyRing } from "../../../src/crypto/key-ring.js";
import type { Database } from "../../../src/db/database.js";
import { FactoryKeys } from "../../../src/secrets/factory-keys.js";

/** What is stored, opened past the service. */
export type Everything = {
  /** `factory/secret/version` to the value; destroyed versions are absent. */
  values: Map<string, string>;
  /** How many stored keys each key-encryption key wraps: data, signing and audit keys. All of them were opened. */
  wrapped: Map<string, number>;
  /** The data keys of purpose `secret`, by factory: their ids. */
  dataKeys: Map<string, string[]>;
};

/**
 * Opens every stored key and every value with the keys of this ring, and checks each fingerprint.
 * @throws when anything does not open
 */
export async function openEverything({ prisma }: Database, keys: KeyRing): Promise<Everything> {
  const wrapped = new Map<string, number>();
  const count = (id: string): unknown => wrapped.set(id, (wrapped.get(id) ?? 0) + 1);
  const dataKeys = new Map<string, string[]>();
  for (const row of await prisma.dataKey.findMany({ orderBy: { createdAt: "asc" } })) {
    const purpose = dataKeyPurposeOf(row.purpose);
    await keys.unwrap(row.factoryId, { ...row, purpose, wrapped: Buffer.from(row.wrapped) });
    count(row.keyEncryptionKeyId);
    if (purpose === "secret") dataKeys.set(row.factoryId, [...(dataKeys.get(row.factoryId) ?? []), row.id]);
  }
  for (const row of await prisma.signingKey.findMany()) {
    await keys.unwrapSigningKey({ ...row, wrapped: Buffer.from(row.wrapped) });
    count(row.keyEncryptionKeyId);
  }
  const installation = await prisma.installation.findFirst();
  for (const row of await prisma.auditKey.findMany()) {
    const key = { id: row.dataKeyId, keyEncryptionKeyId: row.keyEncryptionKeyId, wrapped: Buffer.from(row.wrapped) };
    await keys.unwrap(installation?.id ?? "", { ...key, purpose: "audit-checkpoint" });
    count(row.keyEncryptionKeyId);
  }
  return { values: await openValues({ prisma }, keys), wrapped, dataKeys };
}

async function openValues({ prisma }: Pick<Database, "prisma">, keys: KeyRing): Promise<Map<string, string>> {
  const factoryKeys = new FactoryKeys({ prisma, keys });
  const values = new Map<string, string>();
  const include = { secret: { include: { factory: true } } } as const;
  for (const row of await prisma.secretVersion.findMany({ include, where: { destroyedAt: null } })) {
    const { secretId, version, secret } = row;
    const place = { factoryId: secret.factoryId, secretId, version };
    const key = await factoryKeys.find(secret.factoryId, row.dataKeyId);
    if (!key) throw new Error("a version is sealed under a key that is not there");
    const value = openSecret(key, place, Buffer.from(row.ciphertext));
    const { fingerprint: fingerprintKey } = await factoryKeys.of(secret.factoryId);
    if (!fingerprint(fingerprintKey.bytes, value).equals(Buffer.from(row.fingerprint)))
      throw new Error("a fingerprint is not that of its value");
    const deleted = secret.deletedAt ? " deleted" : "";
    values.set(`${secret.factory.name}/${secret.name}/${version}${deleted}`, value.toString("utf8"));
  }
  return values;
}
