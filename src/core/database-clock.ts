/** A process whose clock differs from the database's by more says so, and sweeps nothing. */
export const toleratedMs = 30_000;
/** A monotonic clock that runs wrong by this much would be broken. */
const driftPerMs = 0.001;

/** What the database's clock showed, at which moment of this process's monotonic clock, and how far that can be wrong. */
export type Measurement = { databaseMs: number; atMs: number; errorMs: number };

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

/** Takes what a measurement has shown. One that took long changes nothing, unless it contradicts what is known. */
export function noteDatabaseTime(measured: Measurement): void {
  if (last === undefined || isBetter(measured, last)) last = measured;
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
