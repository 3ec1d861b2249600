import { LRUCache } from "lru-cache";
import type pg from "pg";

/** The channel on which the triggers of `credentials` and `denied_devices` announce a subject. */
export const withdrawalChannel = "factory_secrets_withdrawals";

const pollMs = 500;
/** After this long without an answer to the poll, nothing that is remembered counts. The rows stay for longer. */
const doubtAfterMs = 300_000;
/** Longer than any statement runs that could have read the record before it was withdrawn. */
const recentMs = 60_000;
const maxRecent = 100_000;

/** What `withdrawals.subject` says: the trigger `announce_withdrawal` writes the same. */
export const withdrawnCredential = (id: string): string => `credential ${id}`;
export const withdrawnDevice = (factoryId: string, deviceId: string): string => `device ${factoryId} ${deviceId}`;
export const withdrawnCertificate = (authorityId: string, serial: string): string =>
  `certificate ${authorityId} ${serial}`;

type Listener = { onWithdrawn(subject: string): void; onDoubt(): void };

/**
 * Which credentials were withdrawn and which devices were denied, for those who remember them. It raises no generation:
 * one that ends costs no one else anything. The token path does not depend on it, because the conditional audit insert
 * looks at the row itself; everything else is never out of date for longer than a second.
 */
export class Withdrawals {
  readonly #listeners: Listener[] = [];
  readonly #recent = new LRUCache<string, true>({ max: maxRecent, ttl: recentMs });

  listen(listener: Listener): void {
    this.#listeners.push(listener);
  }

  observe(subject: string): void {
    this.#recent.set(subject, true);
    for (const listener of this.#listeners) listener.onWithdrawn(subject);
  }

  /** No one can tell what was withdrawn lately. */
  doubtAll(): void {
    for (const listener of this.#listeners) listener.onDoubt();
  }

  /** Whether a record that was read just now may be from before its withdrawal: then it must not be remembered. */
  isRecent(subject: string): boolean {
    return this.#recent.has(subject);
  }
}

/** Asks the database twice a second what was withdrawn, because an announcement can be lost. */
export function pollWithdrawals(pool: pg.Pool, withdrawals: Withdrawals): { close(): void } {
  let since: string | null = null;
  let answeredMs = performance.now();
  let asking = false;
  const poll = async (): Promise<void> => {
    // Every transaction before `since` had ended when it was read, so its rows were in that answer.
    const { rows } = await pool.query<{ since: string; subjects: string[] }>({
      name: "poll-withdrawals",
      text: `SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS since,
               ARRAY(SELECT subject FROM withdrawals
                     WHERE transaction >= $1::xid8 OR $1 IS NULL AND at > now() - interval '1 minute') AS subjects`,
      values: [since],
    });
    const [row] = rows;
    if (!row) return;
    if (performance.now() - answeredMs > doubtAfterMs) withdrawals.doubtAll();
    answeredMs = performance.now();
    since = row.since;
    for (const subject of row.subjects) withdrawals.observe(subject);
  };
  const polling = setInterval(async () => {
    if (asking) return;
    asking = true;
    await poll().catch(() => undefined);
    asking = false;
  }, pollMs).unref();
  return { close: () => clearInterval(polling) };
}

/** Forgets what every replica has been told. */
export async function deleteOldWithdrawals(pool: pg.Pool): Promise<void> {
  await pool.query("DELETE FROM withdrawals WHERE at < now() - interval '15 minutes'");
}
