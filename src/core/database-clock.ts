import type pg from "pg";

/** A process whose clock differs from the database's by more says so, and sweeps nothing. */
export const toleratedMs = 30_000;
const measureMs = 10_000;
/** A monotonic clock that runs wrong by this much would be broken. */
const driftPerMs = 0.001;

/** What the database's clock showed, at which moment of this process's monotonic clock, and how far that can be wrong. */
type Measurement = { databaseMs: number; atMs: number; errorMs: number };

// One for the process, like the clock that it replaces: all that a process stores is in one database.
let last: Measurement | undefined;

/**
 * The time by the database's clock: the only source of "now" for whatever is stored, compared with something stored, or
 * signed. It goes on by this process's monotonic clock between two measurements, so that setting the clock of the machine
 * changes nothing. As long as the machine's clock shows the same, as far as a measurement can tell, it is that one. Before
 * the first measurement, which comes before the service listens, it is the machine's too.
 */
export function databaseNow(): Date {
  const machineMs = Date.now();
  if (last === undefined) return new Date(machineMs);
  const nowMs = performance.now();
  const shownMs = shownAt(last, nowMs);
  return new Date(Math.abs(machineMs - shownMs) <= errorAt(last, nowMs) + 1 ? machineMs : shownMs);
}

/** How far the clock of this machine is ahead of the database's. */
export function clockDifferenceMs(): number {
  return Date.now() - databaseNow().getTime();
}

/** Whether this machine's clock is near enough to the database's, asked anew. @throws when the database does not answer */
export async function clockIsRight(pool: Pick<pg.Pool, "query">): Promise<boolean> {
  await measureDatabaseClock(pool);
  return Math.abs(clockDifferenceMs()) <= toleratedMs;
}

/** Asks the database what time it is. An answer that took long changes nothing, unless it contradicts what is known. */
export async function measureDatabaseClock(pool: Pick<pg.Pool, "query">): Promise<void> {
  const startMs = performance.now();
  const { rows } = await pool.query<{ ms: number }>({
    name: "database-clock",
    text: "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS ms",
  });
  const endMs = performance.now();
  const [row] = rows;
  if (row === undefined) return;
  const measured = { databaseMs: row.ms, atMs: (startMs + endMs) / 2, errorMs: (endMs - startMs) / 2 };
  if (last === undefined || isBetter(measured, last)) last = measured;
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

function isBetter(measured: Measurement, known: Measurement): boolean {
  const knownErrorMs = errorAt(known, measured.atMs);
  const differMs = Math.abs(measured.databaseMs - shownAt(known, measured.atMs));
  return measured.errorMs <= knownErrorMs || differMs > measured.errorMs + knownErrorMs;
}

function errorAt({ errorMs, atMs }: Measurement, nowMs: number): number {
  return errorMs + (nowMs - atMs) * driftPerMs;
}

function shownAt({ databaseMs, atMs }: Measurement, nowMs: number): number {
  return databaseMs + (nowMs - atMs);
}
