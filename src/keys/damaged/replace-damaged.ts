import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { sqlState } from "../../core/database-errors.js";
import { Problem } from "../../core/problem.js";
import { EnvelopeError } from "../../crypto/envelope.js";
import type { KeyRing, WrappedDataKey } from "../../crypto/key-ring.js";
import type { PrismaClient } from "../../db/database.js";
import type { FactoryKeys } from "../../secrets/factory-keys.js";
import type { KeyCommand, KeyDeps } from "../change-keys.js";
import { forgetFingerprints, holdWriters, readDataKeysOf, type StoredDataKey, takePlace } from "./store.js";

/** What seals values is replaced by `startReseal`, which saves what opens. */
const replaceable = ["fingerprint", "aws-keys"] as const;
type Replaceable = (typeof replaceable)[number];

/** `unknown`: how many versions have no fingerprint any more, or 0. */
export type ReplacedKey = { purpose: Replaceable; dataKeyId: string; unknown: number };

type Command = Omit<KeyCommand, "key"> & { factory: FactoryRef };

const maxAttempts = 5;

/**
 * Gives a factory new keys in the place of those that do not open: of its fingerprints, and of its jobs' AWS-shaped keys;
 * and one of its fingerprints where that is missing. One of AWS-shaped keys is made when a job asks for them.
 * What was made with the old ones is no more: fingerprints become unknown, AWS-shaped keys stop working.
 * @throws Problem `key-unsuitable` when all of them are there and open, or the one that seals values is not or does not;
 *   `key-unavailable` when it cannot be asked whether they do; `conflict` when one was put back meanwhile
 */
export async function replaceDamagedKeys(
  deps: KeyDeps & { factoryKeys: FactoryKeys },
  command: Command,
): Promise<ReplacedKey[]> {
  const { factory } = command;
  const damaged = await findDamaged(deps, factory);
  // Wrapped before the transaction begins: a cloud KMS answers over the network.
  const exchanges: Exchange[] = [];
  for (const { purpose, old } of damaged)
    exchanges.push({ purpose, old, key: await deps.keys.createDataKey(factory.id, purpose) });
  for (let attempt = 1; ; attempt += 1) {
    try {
      const replaced = await exchange(deps, command, exchanges);
      deps.factoryKeys.forget(factory.id);
      return replaced;
    } catch (error) {
      // It waits for who destroys a version, and they for the factory: Postgres ends one of the two.
      if (sqlState(error) !== "40P01" || attempt === maxAttempts) throw error;
    }
  }
}

/** `old`: none where it is missing. */
type Damaged = { purpose: Replaceable; old: StoredDataKey | undefined };
type Exchange = Damaged & { key: WrappedDataKey };

async function findDamaged(
  { prisma, keys }: { prisma: PrismaClient; keys: KeyRing },
  factory: FactoryRef,
): Promise<Damaged[]> {
  const active = (await readDataKeysOf(prisma, factory.id)).filter(({ isActive }) => isActive);
  const isMissing = (sought: string): boolean => active.every(({ purpose }) => purpose !== sought);
  if (isMissing("secret")) throw sealIsFirst(factory);
  const damaged: Damaged[] = isMissing("fingerprint") ? [{ purpose: "fingerprint", old: undefined }] : [];
  for (const stored of active) {
    if (await opens(keys, factory.id, stored)) continue;
    const purpose = replaceable.find((one) => one === stored.purpose);
    // Where nothing opens it is more likely the key-encryption key that is another one.
    if (purpose === undefined) throw sealIsFirst(factory);
    damaged.push({ purpose, old: stored });
  }
  if (damaged.length > 0) return damaged;
  throw new Problem("key-unsuitable", `Every data key of ${factory.name} opens, so none is replaced.`);
}

async function opens(keys: KeyRing, factoryId: string, stored: WrappedDataKey): Promise<boolean> {
  try {
    (await keys.unwrap(factoryId, stored)).bytes.fill(0);
    return true;
  } catch (error) {
    if (error instanceof EnvelopeError) return false;
    throw error;
  }
}

const sealIsFirst = ({ name }: FactoryRef): Problem =>
  new Problem(
    "key-unsuitable",
    `The data key that seals the values of ${name} does not open. If the key-encryption key is the right one, replace that first: npx factory-secrets keys rotate-data-key --factory ${name}`,
  );

function exchange(
  { prisma, audit }: Pick<KeyDeps, "prisma" | "audit">,
  { factory, actor, requested }: Command,
  exchanges: readonly Exchange[],
): Promise<ReplacedKey[]> {
  return prisma.$transaction(
    async (transaction) => {
      await holdWriters(transaction);
      const replaced: ReplacedKey[] = [];
      for (const { purpose, old, key } of exchanges) {
        if (!(await takePlace(transaction, factory.id, old, key)))
          throw new Problem("conflict", "A data key was put back or replaced meanwhile. Look again.");
        const isOfFingerprints = purpose === "fingerprint";
        const unknown = isOfFingerprints ? await forgetFingerprints(transaction, factory.id) : 0;
        const body = {
          action: "data-key.damaged-replaced",
          ...{ purpose, dataKeyId: key.id, keyId: key.keyEncryptionKeyId },
          ...(isOfFingerprints && { count: unknown }),
        } as const;
        const event = { at: databaseNow(), outcome: "allowed", actor, body, factory, ...requested } as const;
        await audit.writeWith(transaction, [event]);
        replaced.push({ purpose, dataKeyId: key.id, unknown });
      }
      return replaced;
    },
    { timeout: 60_000 },
  );
}
