import type pg from "pg";
import { clockDifferenceMs } from "../core/database-clock.js";

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
