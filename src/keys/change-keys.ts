import type { EventBody } from "../audit/events.js";
import type { AuditWriter, RequestedBy } from "../audit/record.js";

import type { Actor } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import { EnvelopeError } from "../crypto/envelope.js";
import { type KeyEncryptionKey, KeyUnavailable } from "../crypto/key-encryption-key.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient, Transaction } from "../db/database.js";
import {
  activeKeyId,
  findKeyRow,
  heldByReplicas,
  insertKnownKey,
  type KeyRow,
  lockKeys,
  openStoredKey,
  setKeyState,
  type Wraps,
} from "./store.js";
import { readSomeWrapped } from "./work/rewrap/store.js";

export type KeyDeps = { prisma: PrismaClient; audit: AuditWriter; keys: KeyRing };

/** Who asks: an operator's request, or the command line, which is the service itself. */
export type KeyCommand = { key: string; actor: Actor; requested?: RequestedBy | undefined };

/**
 * Lets the installation know a key of this process's settings. It wraps nothing until it is activated.
 * @returns its id
 * @throws Problem `not-found`, `already-exists`, `key-unsuitable`, `key-unavailable`
 */
export async function addKey(deps: KeyDeps, command: KeyCommand): Promise<string> {
  const key = heldKey(deps.keys, command.key);
  // Asked before the transaction begins: a cloud KMS answers over the network.
  const checkValue = await useKey(() => key.createCheckValue());
  return inTurn(deps, command, async (transaction) => {
    if (!(await insertKnownKey(transaction, { id: key.id, source: key.source, checkValue }))) {
      const there = await findKeyRow(transaction, key.id);
      if (there?.state === "retired") throw isRetired(key.id);
      throw new Problem("already-exists", `The key ${key.id} was added already.`);
    }
    return { result: key.id, event: { action: "key.added", keyId: key.id, source: key.source } };
  });
}

/**
 * Makes a key wrap what is new from now on, on every replica: each asks the database before it wraps. The one before
 * stays known, and opens what it has wrapped.
 * @param command.forced - also when a running replica does not hold the key
 * @throws Problem `not-found`, `key-unsuitable`, `key-unavailable`
 */
export async function activateKey(deps: KeyDeps, command: KeyCommand & { forced: boolean }): Promise<string> {
  const key = heldKey(deps.keys, command.key);
  const row = await addedKey(deps.prisma, key.id);
  const fits = await useKey(() => deps.keys.fits(key, row.checkValue));
  if (!fits) throw new Problem("key-unsuitable", `${key.source} is another key of the same name as ${key.id}.`);
  // That it opens does not say that it may wrap.
  await useKey(() => key.createCheckValue());
  const without = (await heldByReplicas(deps.prisma)).filter((held) => !held.includes(key.id)).length;
  if (without > 0 && !command.forced) {
    throw new Problem(
      "key-unsuitable",
      `${without} running ${without === 1 ? "replica does" : "replicas do"} not hold the key ${key.id} and could not open what it wraps. Add it to FACTORY_SECRETS_KEYS of each and restart them first.`,
    );
  }
  return inTurn(deps, command, async (transaction) => {
    await addedKey(transaction, key.id);
    const before = await activeKeyId(transaction);
    if (before === key.id) return { result: key.id };
    if (before !== undefined) await setKeyState(transaction, before, "known");
    await setKeyState(transaction, key.id, "active");
    const event = { action: "key.activated", keyId: key.id, previousKeyId: before ?? "" } as const;
    return { result: key.id, event };
  });
}

/**
 * Ends a key that nothing needs any more. From then on nothing can come to need it. The active key has to show first that
 * it opens what it has wrapped: until then the one before may be all there is.
 * @throws Problem `not-found`, `key-in-use` with what still needs it, `key-unsuitable` for the active one or when that does
 *   not open what it should, `key-unavailable`
 */
export async function retireKey(deps: KeyDeps, command: KeyCommand): Promise<string> {
  const { key: id } = command;
  if (!(await canRetire(deps.prisma, id))) return id;
  // Asked before the transaction begins: a cloud KMS answers over the network.
  await useKey(() => proveActiveKey(deps));
  return inTurn(deps, command, async (transaction) => {
    if (!(await canRetire(transaction, id))) return { result: id };
    await setKeyState(transaction, id, "retired");
    return { result: id, event: { action: "key.retired", keyId: id } };
  });
}

/** @returns false when it is retired already. @throws Problem when it is needed */
async function canRetire(prisma: PrismaClient | Transaction, id: string): Promise<boolean> {
  const row = await findKeyRow(prisma, id);
  if (!row) throw noKey(id);
  if (row.state === "retired") return false;
  if (row.state === "active")
    throw new Problem("key-unsuitable", `The key ${id} is the active one. Activate another first.`);
  const needed = wrapsText(row.wraps);
  if (needed !== undefined)
    throw new Problem(
      "key-in-use",
      `The key ${id} still wraps ${needed}. Move them first: npx factory-secrets keys rewrap ${id}`,
    );
  return true;
}

/** What a key wraps, in words; `undefined` when it is nothing. */
export function wrapsText({ dataKeys, signingKeys, auditKeys }: Wraps): string | undefined {
  const parts = [
    [dataKeys, "data key"],
    [signingKeys, "signing key"],
    [auditKeys, "audit key"],
  ] as const;
  const texts = parts.flatMap(([count, name]) => (count === 0 ? [] : [`${count} ${name}${count === 1 ? "" : "s"}`]));
  return texts.length === 0 ? undefined : texts.join(", ");
}

export const noKey = (id: string): Problem =>
  new Problem("not-found", `There is no key ${id}. Look at: npx factory-secrets keys list`);

/** @throws Problem `not-found` when this process does not hold it */
export function heldKey(keys: KeyRing, idOrSource: string): KeyEncryptionKey {
  const key = keys.find(idOrSource);
  if (key) return key;
  throw new Problem(
    "not-found",
    `No key "${idOrSource}" is in the settings here. Add it to FACTORY_SECRETS_KEYS first.`,
  );
}

/** @throws Problem `key-unsuitable` when it was not added, or is retired */
async function addedKey(prisma: PrismaClient | Transaction, id: string): Promise<KeyRow> {
  const row = await findKeyRow(prisma, id);
  if (!row)
    throw new Problem(
      "key-unsuitable",
      `The key ${id} was not added yet. Add it first: npx factory-secrets keys add ${id}`,
    );
  if (row.state === "retired") throw isRetired(id);
  return row;
}

const isRetired = (id: string): Problem =>
  new Problem("key-unsuitable", `The key ${id} was retired, and does not come back. Use a new one.`);

/** Only operators ask, and they are told where the key is and what is wrong with it. */
async function useKey<T>(use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    const cause = error instanceof Problem ? error.cause : error;
    if (!(cause instanceof KeyUnavailable)) throw error;
    throw new Problem("key-unavailable", cause.message, { cause, retryAfterSeconds: 5 });
  }
}

/** Changes the keys when no other does, with the audit row in the same transaction. Without an event nothing changed. */
function inTurn<T>(
  { prisma, audit }: Omit<KeyDeps, "keys">,
  { actor, requested }: Omit<KeyCommand, "key">,
  change: (transaction: Transaction) => Promise<{ result: T; event?: EventBody }>,
): Promise<T> {
  return prisma.$transaction(async (transaction) => {
    await lockKeys(transaction);
    const { result, event } = await change(transaction);
    if (event)
      await audit.writeWith(transaction, [{ at: databaseNow(), outcome: "allowed", actor, body: event, ...requested }]);
    return result;
  });
}

/** A key elsewhere takes a call for each. */
const sampled = 50;

/**
 * Sees that the active key is the one that was added, and opens what it has wrapped: some of it, picked anew each time.
 * @throws Problem `key-unavailable`, or `key-unsuitable` with what does not open
 */
export async function proveActiveKey({ prisma, keys }: { prisma: PrismaClient; keys: KeyRing }): Promise<void> {
  const { id } = await keys.active();
  const stored = await readSomeWrapped(prisma, id, sampled);
  const broken: string[] = [];
  await Promise.all(
    stored.map(async (key) => {
      try {
        (await openStoredKey(keys, id, key)).fill(0);
      } catch (error) {
        if (!(error instanceof EnvelopeError)) throw error;
        broken.push(`${key.kind} key ${key.id}`);
      }
    }),
  );
  if (broken.length === 0) return;
  const some = `${broken.slice(0, 5).join(", ")}${broken.length > 5 ? ", ..." : ""}`;
  throw new Problem(
    "key-unsuitable",
    `The active key ${id} does not open ${broken.length} of ${stored.length} keys that it is said to have wrapped: ${some}. Keep every other key, and see docs/keys.md.`,
  );
}
