import { timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { type AuditWriter, type RequestedBy, requestedBy } from "../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import { fingerprint } from "../crypto/envelope.js";
import type { DataKey } from "../crypto/key-ring.js";
import type { Plaintext } from "../crypto/plaintext.js";
import type { PrismaClient } from "../db/database.js";
import { json, route } from "../http/route.js";
import type { SecretQuestions } from "../limits/secret-questions.js";
import { maxValueBytes, oneValue, oneValueRule, SecretParams, ValueBase64, ValueText } from "./contract.js";
import type { FactoryKeys } from "./factory-keys.js";
import { plaintextOf } from "./routes.js";

export type VerifyDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  factoryKeys: FactoryKeys;
  verifyLimit: SecretQuestions;
};

/**
 * Compares a candidate with the current version of a secret by their keyed fingerprints, in constant time: the stored
 * value is not opened. The answer leaves when its audit row is durable, whatever it is: guessing leaves a trail.
 * @throws Problem `not-found`, `too-many-requests`, `version-unsuitable` when its fingerprint is not known any more,
 *   `key-unavailable` when the key of the fingerprints is missing or does not open
 */
export async function verifyValue(
  deps: VerifyDeps,
  input: { factory: FactoryRef; caller: Caller; name: string; candidate: Plaintext; requested: RequestedBy },
): Promise<{ matches: boolean; version: number }> {
  const { factory, caller, name, candidate, requested } = input;
  await deps.verifyLimit.count(factory.id, name);
  const current = await currentFingerprint(deps.prisma, factory.id, name);
  if (!current) throw new Problem("not-found", `There is no secret "${name}".`);
  const { version } = current;
  const key = await fingerprintKey(deps.factoryKeys, factory.id, current.keyId);
  if (current.fingerprint.length === 0) throw fingerprintUnknown(version);
  const matches = timingSafeEqual(fingerprint(key.bytes, candidate.revealBytes()), current.fingerprint);
  await deps.audit.write({
    ...{ at: databaseNow(), outcome: "allowed", actor: actorOf(caller), factory, ...requested },
    body: { action: "secret.verified", secret: name, secretVersion: version, matches },
  });
  return { matches, version };
}

/** The key of this id: by the one before it everything would look different. */
async function fingerprintKey(factoryKeys: FactoryKeys, factoryId: string, keyId: string | null): Promise<DataKey> {
  let held = await factoryKeys.of(factoryId);
  if (keyId === null || !held.has(keyId)) {
    factoryKeys.forget(factoryId);
    held = await factoryKeys.of(factoryId);
  }
  const read = held.fingerprint;
  if (read.id === keyId) return read;
  throw new Problem("conflict", "The key of the fingerprints was just replaced. Ask again.", { retryAfterSeconds: 1 });
}

const fingerprintUnknown = (version: number): Problem =>
  new Problem(
    "version-unsuitable",
    `Version ${version} is older than the key of the fingerprints, so whether it holds this value is not known. Set the secret again to compare what comes then.`,
  );

/** The keyed fingerprint of the current version of a secret, and the key of the fingerprints, in one snapshot. */
async function currentFingerprint(
  prisma: PrismaClient,
  factoryId: string,
  name: string,
): Promise<{ version: number; fingerprint: Uint8Array; keyId: string | null } | undefined> {
  const rows = await prisma.$queryRawUnsafe<{ version: number; fingerprint: Uint8Array; key_id: string | null }[]>(
    `SELECT v.version, v.fingerprint, k.id::text AS key_id FROM secrets s
     LEFT JOIN data_keys k ON k.factory_id = s.factory_id AND k.purpose = 'fingerprint' AND k.state = 'active'
     JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
     WHERE s.factory_id = $1::uuid AND s.name = $2::text AND s.deleted_at IS NULL`,
    factoryId,
    name,
  );
  const [row] = rows;
  return row && { version: row.version, fingerprint: row.fingerprint, keyId: row.key_id };
}

const SecretCandidate = z
  .strictObject({ value: ValueText.optional(), valueBase64: ValueBase64.optional() })
  .refine(oneValue, oneValueRule)
  .meta({ id: "SecretCandidate", description: "A value to compare with the stored one." });

const SecretComparison = z
  .object({
    matches: z.boolean().meta({ description: "The candidate is, byte for byte, the value of that version." }),
    version: z.int().meta({ description: "The current version, which it was compared with." }),
  })
  .meta({ id: "SecretComparison" });

const verify = route(
  {
    id: "verifySecret",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}:verify",
    tag: "Secrets",
    summary: "Does a value equal the stored one?",
    description: "Neither is shown. Every question is audited, and a secret can be asked about ten times a minute.",
    auth: { permission: "secrets:write" },
    isCostly: true,
    params: SecretParams,
    body: json(SecretCandidate, { maxBytes: 8 * maxValueBytes }),
    replies: { 200: { description: "Whether it does.", content: { "application/json": SecretComparison } } },
    problems: ["not-found", "version-unsuitable", "too-many-requests"],
  },
  async (deps: VerifyDeps, { caller, factory, params, body, request }) => {
    const candidate = plaintextOf(body);
    try {
      const requested = requestedBy(request);
      const input = { factory, caller, name: params.name, candidate, requested };
      return { status: 200, body: await verifyValue(deps, input) };
    } finally {
      candidate.erase();
    }
  },
);

export const verifyRoutes = [verify];
