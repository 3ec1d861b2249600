import type pg from "pg";
import { sqlState } from "../../db/database-errors.js";
import { type BackupHeader, BackupRefused } from "../format.js";
import { readSequences, readTables } from "../make/store.js";

/**
 * Compares the first line of a backup with the schema that its migrations have made: a checksum says that a file is
 * whole, not that the service has written it.
 * @param made the tables of those migrations
 * @throws BackupRefused when it names another table, column or sequence
 */
export async function refuseUnfitHeader(
  client: pg.ClientBase,
  { tables, sequences }: BackupHeader,
  made: ReadonlySet<string>,
): Promise<void> {
  const columnsOf = new Map(
    (await readTables(client)).filter(({ name }) => made.has(name)).map(({ name, columns }) => [name, columns]),
  );
  for (const { name, columns } of tables) {
    const known = columnsOf.get(name);
    if (known === undefined) throw altered("it names a table that its migrations do not make");
    if (known.length !== columns.length || known.some((column) => !columns.includes(column)))
      throw altered(`the columns of ${name} are others than its migrations make`);
  }
  const counting = new Set((await readSequences(client, [...columnsOf.keys()])).map(({ name }) => name));
  if (sequences.some(({ name }) => !counting.has(name)))
    throw altered("it names a sequence that its migrations do not make");
}

const altered = (why: string): BackupRefused =>
  new BackupRefused(`The first line of this backup was altered: ${why}. Nothing was restored.`);

/** 22 not of the type, 23 against a constraint, 42 against the schema, P0 refused by a trigger; 42501 is a right we lack. */
const isUnfit = (state: string): boolean => /^(22|23|42|P0)/.test(state) && state !== "42501";

/** What Postgres does not take, in a sentence of ours. Its own words can quote a row. */
export async function refusingUnfit<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const state = sqlState(error);
    if (state === undefined || !isUnfit(state)) throw error;
    const rule = error instanceof Error && "constraint" in error && error.constraint ? `${error.constraint}, ` : "";
    throw new BackupRefused(
      `This backup was altered: the database does not take ${what} (${rule}code ${state}). Nothing was restored.`,
      { cause: error },
    );
  }
}
