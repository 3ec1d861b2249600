import type pg from "pg";
import { clockDifferenceMs, noteDatabaseTime, toleratedMs } from "../core/database-clock.js";

const measureMs = 10_000;

/** Whether this machine's clock is near enough to the database's, asked now. @throws when the database does not answer */
export async function clockIsRight(pool: Pick<pg.Pool, "query">): Promise<boolean> {
  await measureDatabaseClock(pool);
  return Math.abs(clockDifferenceMs()) <= toleratedMs;
}

/** Asks the database what time it is. */
export async function measureDatabaseClock(pool: Pick<pg.Pool, "query">): Promise<void> {
  const startMs = performance.now();
  const { rows } = await pool.query<{ ms: number }>({
    name: "database-clock",
    text: "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms",
  });
  const endMs = performance.now();
  const [row] = rows;
  if (row === undefined) return;
  noteDatabaseTime({ databaseMs: row.ms, atMs: (startMs + endMs) / 2, errorMs: (endMs - startMs) / 2 });
}

/** Measures regularly. @param onChange - told when this machine's clock turns out to be wrong, and when it is right again */
export function watchDatabaseClock(
  pool: Pick<pg.Pool, "query">,
  onChange: (isRight: boolean, differenceMs: number) => void,
): { close(): void } {
  let wasRight = true;
  const look = async (): Promise<void> => {
    const isRight = await clockIsRight(pool);
    if (isRight !== wasRight) onChange(isRight, clockDifferenceMs());
    wasRight = isRight;
  };
  // While the database is away there is nothing to compare with.
  const measuring = setInterval(() => void look().catch(() => undefined), measureMs).unref();
  void look().catch(() => undefined);
  return { close: () => clearInterval(measuring) };
}

type Asked = { name?: string; text: string; values: readonly unknown[] };
type Answered = { rows: { points?: number; expire?: string | number | null }[] };

/** Milliseconds since 1970 are far beyond every count. */
const isTime = (value: unknown): value is number => typeof value === "number" && value > 1e12;

/**
 * For a library that writes ends of windows by the clock of the machine, and compares them with it. Replicas share the
 * rows, so what goes to the database is by the database's clock, and what comes back is by the machine's again.
 */
export function byDatabaseClock(pool: Pick<pg.Pool, "query">): { query(asked: Asked): Promise<Answered> } {
  return {
    async query({ values, ...asked }) {
      const aheadMs = Math.round(clockDifferenceMs());
      const shifted = values.map((value) => (isTime(value) ? value - aheadMs : value));
      const { rows } = await pool.query<Answered["rows"][number]>({ ...asked, values: shifted });
      return { rows: rows.map((row) => (row.expire == null ? row : { ...row, expire: Number(row.expire) + aheadMs })) };
    },
  };
}
