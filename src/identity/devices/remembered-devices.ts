import { LRUCache } from "lru-cache";
import { atMost } from "../../core/at-most.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { PrismaClient } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { denialsOf } from "./denials.js";

const maxRemembered = 20_000;

/** A device that was let in, and until when nothing in its chain expires. */
export type Admitted = { caller: Caller; validUntil: Date };

/**
 * Devices that were let in, by the fingerprint of their certificate: for as long as no higher generation of the factory is
 * seen, nothing in the chain expires and the device is not denied.
 */
export class RememberedDevices {
  readonly #generations: Generations;
  readonly #withdrawals: Withdrawals;
  readonly #admitted = new LRUCache<string, Admitted>(atMost(maxRemembered));

  constructor({ generations, withdrawals }: { generations: Generations; withdrawals: Withdrawals }) {
    this.#generations = generations;
    this.#withdrawals = withdrawals;
    withdrawals.listen({
      onWithdrawn: (subject) => {
        if (subject.startsWith("credential ")) return;
        for (const [fingerprint, { caller }] of this.#admitted.entries())
          if (denialsOf(caller).includes(subject)) this.#admitted.delete(fingerprint);
      },
      onDoubt: () => this.#admitted.clear(),
    });
  }

  /** The device as it was let in, if that still counts. */
  get(fingerprint: string): Caller | undefined {
    const known = this.#admitted.get(fingerprint);
    if (known?.caller.factory === undefined) return undefined;
    const { factory, generation } = known.caller;
    const isCurrent = this.#generations.isCurrent(factory.id, generation) && databaseNow() <= known.validUntil;
    return isCurrent ? known.caller : undefined;
  }

  /** Whether it was let in before. Says nothing about now. */
  has(fingerprint: string): boolean {
    return this.#admitted.has(fingerprint);
  }

  set(fingerprint: string, admitted: Admitted): void {
    // It may have been judged before its denial, which was announced meanwhile.
    if (denialsOf(admitted.caller).some((denial) => this.#withdrawals.isRecent(denial))) return;
    this.#admitted.set(fingerprint, admitted);
  }

  forget(fingerprint: string): void {
    this.#admitted.delete(fingerprint);
  }
}

/** An authority that a presented certificate may come from, in the snapshot that `generation` belongs to. */
export type Candidate = {
  authority: { id: string; name: string };
  factory: FactoryRef;
  generation: bigint;
  /** The device or its certificate is on the factory's deny list. */
  denied: boolean;
};

type Row = {
  id: string;
  name: string;
  factory_id: string;
  factory_name: string;
  generation: bigint;
  denied: boolean;
};

// A factory has at most twenty; beyond its own only a few are looked at, to say that the factory is the wrong one.
const maxCandidates = 24;

/**
 * The authorities in which an issuer of one of the presented certificates stands, those of the named factory first.
 * @param presented - names as hashes, and what the device's certificate claims to be
 */
export async function findCandidates(
  prisma: PrismaClient,
  presented: { issuers: readonly string[]; factory: string; deviceId: string | undefined; serial: string },
): Promise<Candidate[]> {
  const sql = `/* device-authorities */
    SELECT a.id, a.name, a.factory_id, f.name AS factory_name, f.generation,
           EXISTS (SELECT FROM denied_devices d
                   WHERE d.factory_id = a.factory_id
                     AND (d.device_id = $3::uuid OR (d.authority_id = a.id AND d.serial = $4))) AS denied
    FROM device_authorities a JOIN factories f ON f.id = a.factory_id
    WHERE a.subjects && $1::text[] AND f.deleted_at IS NULL
    ORDER BY (f.name = $2) DESC, a.created_at LIMIT ${maxCandidates}`;
  const rows = await prisma.$queryRawUnsafe<Row[]>(
    sql,
    [...presented.issuers],
    presented.factory,
    presented.deviceId ?? null,
    presented.serial,
  );
  return rows.map(({ id, name, factory_id, factory_name, generation, denied }) => ({
    authority: { id, name },
    factory: { id: factory_id, name: factory_name },
    generation,
    denied,
  }));
}

/** An authority as it is stored, with the generation of its factory in the same snapshot. */
export type StoredAuthority = {
  certificates: string;
  policy: unknown;
  /** DER. */
  revocationLists: readonly Buffer[];
  generation: bigint;
};

export async function readStoredAuthority(prisma: PrismaClient, id: string): Promise<StoredAuthority | undefined> {
  type Stored = { certificates: string; policy: unknown; revocation_lists: string[]; generation: bigint };
  const sql = `/* device-authority */
    SELECT a.certificates, a.policy, f.generation,
           ARRAY(SELECT encode(list, 'base64') FROM unnest(a.revocation_lists) AS list) AS revocation_lists
    FROM device_authorities a JOIN factories f ON f.id = a.factory_id
    WHERE a.id = $1::uuid AND f.deleted_at IS NULL`;
  const [row] = await prisma.$queryRawUnsafe<Stored[]>(sql, id);
  if (row === undefined) return undefined;
  const { certificates, policy, generation } = row;
  const revocationLists = row.revocation_lists.map((list) => Buffer.from(list, "base64"));
  return { certificates, policy, revocationLists, generation };
}
