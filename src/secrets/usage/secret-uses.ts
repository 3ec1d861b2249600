import type { Actor } from "../../core/caller.js";
import type { PrismaClient } from "../../db/database.js";

/** A token that left, and by which version of which secret. */
export type Use = { secret: { id: string; version: number }; actor: Actor; at: Date; tokenUntil: Date };

const flushMs = 10_000;
const maxPending = 50_000;
const batchSize = 1_000;

/**
 * Counts in memory who uses which version of a secret, and writes it every ten seconds: nothing waits for it, and the
 * token path has no statement more. What a SIGKILL loses of it stands in the audit, which is the record; this is a
 * summary for whoever wants to turn an old credential off.
 */
export class SecretUses {
  readonly #deps: { prisma: PrismaClient; onError: (error: unknown) => void };
  readonly #timer: NodeJS.Timeout;
  #pending = new Map<string, UseRow>();

  constructor(deps: { prisma: PrismaClient; onError: (error: unknown) => void }) {
    this.#deps = deps;
    this.#timer = setInterval(() => void this.flush(), flushMs).unref();
  }

  record({ secret, actor, at, tokenUntil }: Use): void {
    const key = `${secret.id} ${secret.version} ${actor.kind} ${actor.id}`;
    const known = this.#pending.get(key);
    // A database that is away must not fill the memory.
    if (!known && this.#pending.size >= maxPending) return;
    const until = tokenUntil.toISOString();
    this.#pending.set(key, {
      secret_id: secret.id,
      version: secret.version,
      actor_kind: actor.kind,
      actor_id: actor.id,
      actor_name: actor.name,
      last_used_at: at.toISOString(),
      tokens_until: known && known.tokens_until > until ? known.tokens_until : until,
    });
  }

  /** Writes what was counted since. What cannot be written is dropped and told. */
  async flush(): Promise<void> {
    const rows = [...this.#pending.values()];
    this.#pending = new Map();
    try {
      for (let at = 0; at < rows.length; at += batchSize) {
        await writeUses(this.#deps.prisma, rows.slice(at, at + batchSize));
      }
    } catch (error) {
      this.#deps.onError(error);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}

/** One caller's use of one version. */
export type UseRow = {
  secret_id: string;
  version: number;
  actor_kind: string;
  actor_id: string;
  actor_name: string;
  last_used_at: string;
  tokens_until: string;
};

/** Writes what was counted. In the order of their keys, so that replicas that do so at once wait for each other in turn. */
export async function writeUses(prisma: PrismaClient, rows: readonly UseRow[]): Promise<void> {
  await prisma.$executeRawUnsafe(
    `/* write-secret-uses */
     INSERT INTO secret_uses (secret_id, version, actor_kind, actor_id, actor_name, last_used_at, tokens_until)
     SELECT secret_id, version, actor_kind, actor_id, actor_name, last_used_at, tokens_until
     FROM jsonb_to_recordset($1::jsonb) AS row(secret_id uuid, version int, actor_kind text, actor_id text,
       actor_name text, last_used_at timestamptz, tokens_until timestamptz)
     ORDER BY secret_id, version, actor_kind, actor_id
     ON CONFLICT (secret_id, version, actor_kind, actor_id) DO UPDATE SET actor_name = EXCLUDED.actor_name,
       last_used_at = GREATEST(secret_uses.last_used_at, EXCLUDED.last_used_at),
       tokens_until = GREATEST(secret_uses.tokens_until, EXCLUDED.tokens_until)`,
    JSON.stringify(rows),
  );
}

/** Forgets uses that were over `keepSeconds` ago. */
export async function deleteOldUses(prisma: PrismaClient, keepSeconds: number): Promise<void> {
  await prisma.$executeRawUnsafe(
    `DELETE FROM secret_uses WHERE last_used_at < now() - make_interval(secs => $1::float8)
       AND tokens_until < now() - make_interval(secs => $1::float8)`,
    keepSeconds,
  );
}

/** Who used which version of a secret, latest first. */
export async function listUses(prisma: PrismaClient, secretId: string, most: number) {
  return prisma.secretUse.findMany({
    where: { secretId },
    orderBy: [{ lastUsedAt: "desc" }, { actorId: "asc" }, { version: "desc" }],
    take: most,
  });
}
