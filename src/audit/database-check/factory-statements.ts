import type { KeyObject } from "node:crypto";
import type { PrismaClient } from "../../db/database.js";
import { publicKeys } from "../chain/keys/store.js";
import { ed25519PublicKey, readStatement } from "../chain/statement.js";
import { installationId } from "../chain/store.js";
import { type FiledStatement, namedChains, statementsOf } from "./store.js";

/**
 * Looks through what was signed about the chains of factories: the cut that each begins with, and its checkpoints.
 * @param keys public keys by their id; without them those in the database are believed
 * @returns how many factories have a chain, and a sentence about the first statement that does not fit
 */
export async function checkFactoryStatements(
  prisma: PrismaClient,
  keys: ReadonlyMap<string, KeyObject> | undefined,
): Promise<{ factories: number; unfit: string | undefined }> {
  const installation = await installationId(prisma);
  let believed = keys ?? new Map<string, KeyObject>();
  const chains = (await namedChains(prisma)).filter((chain) => chain !== installation);
  for (const chain of chains) {
    const statements = await statementsOf(prisma, chain);
    // After the statements: a key may have begun to sign since the last chain was looked at.
    if (keys === undefined && statements.some(({ signed }) => !believed.has(signed.keyId)))
      believed = await keysOf(prisma);
    for (const filed of statements) {
      const problem = problemOf(filed, { chain, installation, keys: believed });
      if (problem === undefined) continue;
      const unfit = `the ${filed.kind} of position ${filed.position} in the chain ${chain} ${problem}`;
      return { factories: chains.length, unfit };
    }
  }
  return { factories: chains.length, unfit: undefined };
}

async function keysOf(prisma: PrismaClient): Promise<Map<string, KeyObject>> {
  return new Map((await publicKeys(prisma)).map(({ id, publicKey }) => [id, ed25519PublicKey(publicKey)]));
}

function problemOf(
  { kind, position, signed, hash }: FiledStatement,
  expected: { chain: string; installation: string | undefined; keys: ReadonlyMap<string, KeyObject> },
): string | undefined {
  const read = readStatement(expected.keys, signed);
  if (!read.ok) return read.reason;
  const { statement } = read;
  const isAboutIt =
    statement.type === `factory-secrets.audit-${kind}.v1` &&
    statement.chain === expected.chain &&
    statement.installation === expected.installation &&
    statement.position === position;
  if (!isAboutIt) return "is a statement about something else";
  // The events of a cut are gone: the next one must follow on its hash, which is looked at with the events.
  if (kind === "cut") return undefined;
  return hash?.toString("hex") === statement.hash ? undefined : "does not fit: the chain has another hash there";
}
