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
