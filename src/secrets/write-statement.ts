import { type AuditRow, auditInsert, auditRecordset, auditSelect } from "../audit/record.js";
import type { Actor } from "../core/caller.js";
import type { PrismaClient } from "../db/database.js";
import { GroupCommit } from "../db/group-commit.js";

/** What a write must know of a secret beforehand: its version is part of what is sealed. */
export type SecretHead = {
  id: string;
  name: string;
  currentVersion: number;
  nextVersion: number;
  destroyedVersions: number;
  named: boolean;
  /** Of its current version. */
  deliverToJobs: boolean;
};

/**
 * One change as the statement takes it. `version` is the version it makes, and what it was sealed for; a staged one
 * waits to be promoted.
 */
export type SecretChange = {
  op: "create" | "update" | "stage" | "delete";
  secret_id: string;
  name: string;
  version: number;
  /** The secret as it was judged (`SecretHead`), which the statement compares with its row. `null` for a new one. */
  seen_current: number | null;
  seen_destroyed: number | null;
  seen_named: boolean | null;
  seen_deliver_to_jobs: boolean | null;
  /** Deleted although an entry names it: for the audit. */
  forced: boolean;
  /** Delete its values for good, too. */
  purged: boolean;
  data_key_id: string | null;
  ciphertext: string | null;
  fingerprint: string | null;
  /** What it was made with. Only if that is still the key of the fingerprints. */
  fingerprint_key_id: string | null;
  restored_from: number | null;
  /** `null` leaves these two as they are. */
  description: string | null;
  expires_at: string | null;
  /** Of the version that it makes. */
  deliver_to_jobs: boolean;
  /** The version of the config that the value was judged by: if an entry names the secret, it must still be current. */
  judged_by: number | null;
};

/** Changes that are made together or not at all, with their audit rows. */
export type ChangeSet = {
  factoryId: string;
  changes: readonly SecretChange[];
  at: Date;
  actor: Actor;
  audit: readonly AuditRow[];
};

/**
 * What became of a set. `changed`: a secret is not as it was judged, so judge it again. `full`: the factory has no room.
 */
export type WriteOutcome = "written" | "changed" | "full";

/** How many secrets a factory may have. */
export type SecretLimits = { maxSecrets: number };

/** Base64 characters. Something larger than this gains nothing from company, and would only hold it up. */
const maxGathered = 64 * 1024;
const maxBatch = 64;

/**
 * Writes sets of changes. New versions of secrets that no entry names touch nothing that is shared, so those of
 * concurrent requests are gathered into one statement. All others go alone, because they wait for their factory's row.
 */
export class SecretWriter {
  readonly #gathered: GroupCommit<ChangeSet, WriteOutcome>;
  readonly #writeAlone: (set: ChangeSet) => Promise<WriteOutcome>;

  constructor(prisma: PrismaClient, limits: SecretLimits) {
    this.#gathered = new GroupCommit((sets) => writeChangeSets(prisma, limits, sets), maxBatch);
    this.#writeAlone = async (set) => (await writeChangeSets(prisma, limits, [set]))[0] ?? "changed";
  }

  write(set: ChangeSet): Promise<WriteOutcome> {
    const isPlain = set.changes.every(({ op, seen_named }) => op === "stage" || (op === "update" && !seen_named));
    const size = set.changes.reduce((sum, { ciphertext }) => sum + (ciphertext?.length ?? 0), 0);
    return isPlain && size <= maxGathered ? this.#gathered.add(set) : this.#writeAlone(set);
  }
}

const change =
  "set int, factory_id uuid, op text, secret_id uuid, name text, version int, seen_current int, seen_destroyed int, seen_named bool, seen_deliver_to_jobs bool, purged bool, data_key_id uuid, ciphertext text, fingerprint text, fingerprint_key_id uuid, restored_from int, description text, expires_at timestamptz, deliver_to_jobs bool, judged_by int, at timestamptz, actor_kind text, actor_id text, actor_name text";

// Writes several sets of changes in one round trip, each whole or not at all. What a write may do was judged before
// (`plan-change.ts`): `locked` only compares each secret with what was judged and locks its row. A set that misses one is
// not `ready`, and nothing of it is written. A secret that is created or deleted is counted in the factory's row. A secret
// that an entry names can change a token answer, so its write raises the generation, under the lock that a publisher of
// configs takes too. Both kinds are written only when they are alone in the statement; all others touch no shared row. A
// staged version moves no pointer. The current version and the previous one survive the count of versions to keep, which
// is read without a lock. A deletion leaves the versions, unless it purges. Where an entry names its secret, a value is
// written only while the config by which it was judged is current. `fingerprinting` are the fingerprint keys that still
// exist: a fingerprint made with another key could not be compared with any.
const writeStatement = `/* write-secrets */ WITH change AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS change(${change})
  ), locked AS MATERIALIZED (
    SELECT s.id, s.named, s.current_version, s.previous_version, s.expires_at
    FROM secrets s JOIN change ON change.secret_id = s.id
      JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
    WHERE change.op <> 'create' AND s.factory_id = change.factory_id AND s.deleted_at IS NULL
      AND (s.next_version, s.current_version, s.destroyed_versions, s.named, v.deliver_to_jobs)
        = (change.version, change.seen_current, change.seen_destroyed, change.seen_named, change.seen_deliver_to_jobs)
    ORDER BY s.id FOR UPDATE OF s
  ), fingerprinting AS MATERIALIZED (
    SELECT k.id FROM data_keys k WHERE k.id IN (SELECT change.fingerprint_key_id FROM change)
  ), ready AS MATERIALIZED (
    SELECT change.set, change.factory_id, bool_or(change.op IN ('create', 'delete') OR change.op = 'update' AND locked.named) AS takes_factory,
           bool_or(change.op IN ('update', 'delete') AND COALESCE(locked.named, false)) AS renews,
           COALESCE(array_agg(change.name) FILTER (WHERE change.op = 'create'), '{}') AS names,
           max(change.judged_by) FILTER (WHERE change.op IN ('create', 'update')) AS judged_by,
           COALESCE(bool_or(change.op = 'update' AND locked.named), false) AS updates_named,
           (count(*) FILTER (WHERE op = 'create') - count(*) FILTER (WHERE op = 'delete'))::int AS added
    FROM change LEFT JOIN locked ON locked.id = change.secret_id
         LEFT JOIN fingerprinting ON fingerprinting.id = change.fingerprint_key_id
    GROUP BY change.set, change.factory_id HAVING bool_and(change.op = 'create' OR locked.id IS NOT NULL)
      AND bool_and(change.fingerprint_key_id IS NULL OR fingerprinting.id IS NOT NULL)
  ), factory AS (
    UPDATE factories f SET secret_count = f.secret_count + ready.added,
           generation = f.generation + CASE WHEN ready.renews OR ready.names && f.named_secrets THEN 1 ELSE 0 END FROM ready
    WHERE $2::bool AND ready.takes_factory AND f.id = ready.factory_id AND f.deleted_at IS NULL
      AND (ready.added <= 0 OR f.secret_count + ready.added <= $3::int)
      AND (ready.judged_by IS NULL OR ready.judged_by = COALESCE(f.config_version, 0)
           OR NOT ready.updates_named AND NOT ready.names && f.named_secrets)
    RETURNING f.id, f.named_secrets
  ), go AS MATERIALIZED (
    SELECT set FROM ready WHERE NOT takes_factory OR EXISTS (SELECT FROM factory)
  ), created AS (
    INSERT INTO secrets (id, factory_id, name, current_version, next_version, named, deliver_to_jobs, description, expires_at, created_at, updated_at, current_since)
    SELECT change.secret_id, factory.id, change.name, 1, 2, change.name = ANY (factory.named_secrets),
           change.deliver_to_jobs, change.description, change.expires_at, change.at, change.at, change.at
    FROM change, factory WHERE change.op = 'create'
  ), changed AS (
    UPDATE secrets s SET
           current_version = CASE change.op WHEN 'update' THEN change.version ELSE s.current_version END,
           previous_version = CASE change.op WHEN 'update' THEN s.current_version ELSE s.previous_version END,
           current_since = CASE change.op WHEN 'update' THEN change.at ELSE s.current_since END,
           expires_at = CASE WHEN change.op = 'update' AND (change.restored_from IS NOT NULL OR change.expires_at IS NOT NULL)
                        THEN change.expires_at ELSE s.expires_at END,
           next_version = CASE change.op WHEN 'delete' THEN s.next_version ELSE change.version + 1 END,
           deleted_at = CASE change.op WHEN 'delete' THEN change.at END, named = s.named AND change.op <> 'delete',
           description = COALESCE(change.description, s.description),
           deliver_to_jobs = CASE change.op WHEN 'update' THEN change.deliver_to_jobs ELSE s.deliver_to_jobs END, updated_at = change.at
    FROM change JOIN go USING (set) WHERE change.op <> 'create' AND s.id = change.secret_id
  ), sealed AS (
    INSERT INTO secret_versions (secret_id, version, data_key_id, ciphertext, fingerprint, staged, deliver_to_jobs, restored_from, expires_at, created_at, created_by_kind, created_by_id, created_by_name)
    SELECT change.secret_id, change.version, change.data_key_id, decode(change.ciphertext, 'base64'),
           decode(change.fingerprint, 'base64'), change.op = 'stage', change.deliver_to_jobs, change.restored_from,
           CASE WHEN change.op = 'stage' OR change.restored_from IS NOT NULL THEN change.expires_at
                ELSE COALESCE(change.expires_at, locked.expires_at) END,
           change.at, change.actor_kind, change.actor_id, change.actor_name
    FROM change JOIN go USING (set) LEFT JOIN locked ON locked.id = change.secret_id WHERE change.op <> 'delete'
  ), pruned AS (
    DELETE FROM secret_versions v USING change JOIN go USING (set) JOIN locked ON locked.id = change.secret_id
    WHERE (change.op <> 'delete' OR change.purged) AND v.secret_id = change.secret_id
      AND v.version <= change.version - CASE WHEN change.purged THEN 0 ELSE (SELECT f.keep_versions FROM factories f WHERE f.id = change.factory_id) END
      AND (change.purged OR v.version <> locked.current_version AND v.destroyed_at IS NULL
           AND NOT (change.op = 'stage' AND v.version = COALESCE(locked.previous_version, 0)))
  ), audited AS (
    ${auditInsert} ${auditSelect} FROM jsonb_to_recordset($4::jsonb) AS row(set int, ${auditRecordset}) JOIN go USING (set)
  )
  SELECT set, go.set IS NOT NULL AS written FROM ready LEFT JOIN go USING (set)`;

/**
 * Writes several sets of changes in one statement, each whole or not at all.
 * @returns for each set what became of it: `changed`, too, when the factory has another fingerprint key by now, or when
 *   the set changes token answers and is not alone
 * @throws unique violation (23505) when a name to create has come to be meanwhile: then nothing was written
 */
export async function writeChangeSets(
  prisma: PrismaClient,
  limits: SecretLimits,
  sets: readonly ChangeSet[],
): Promise<WriteOutcome[]> {
  const changes = sets.flatMap(({ factoryId, at, actor, changes }, set) =>
    changes.map((change) => ({
      ...change,
      set,
      factory_id: factoryId,
      at: at.toISOString(),
      actor_kind: actor.kind,
      actor_id: actor.id,
      actor_name: actor.name,
    })),
  );
  const rows = await prisma.$queryRawUnsafe<{ set: number; written: boolean }[]>(
    writeStatement,
    JSON.stringify(changes),
    sets.length === 1,
    limits.maxSecrets,
    JSON.stringify(sets.flatMap(({ audit }, set) => audit.map((row) => ({ ...row, set })))),
  );
  const written = new Map(rows.map((row) => [row.set, row.written]));
  const refused = sets.length === 1 ? "full" : "changed";
  return sets.map((_, set) => (written.has(set) ? (written.get(set) ? "written" : refused) : "changed"));
}
