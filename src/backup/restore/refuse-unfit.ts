import type pg from "pg";
import { sqlState } from "../../core/database-errors.js";
import { type Migration, matchesChecksum } from "../../db/migrate.js";
import { type BackupHeader, BackupRefused } from "../format.js";
import { leftOut } from "../left-out.js";
import { readSequences, readTables, type Table } from "../make/store.js";
import { readLimits, type SequenceLimits, tableWithNumber } from "./store.js";

type Sequences = BackupHeader["sequences"];

/**
 * Compares the migrations of a backup with those of this release. A release only adds to the end of them, so every schema
 * that there was is a beginning; of another one a migration would fail for what it lacks.
 * @throws BackupRefused when there is one that is not known, or was changed, and when they are no beginning
 */
export function refuseOtherMigrations({ migrations: given }: BackupHeader, migrations: readonly Migration[]): void {
  const known = new Map(migrations.map(({ name, sql }) => [name, sql]));
  for (const { name, checksum } of given) {
    const sql = known.get(name);
    if (sql === undefined)
      throw new BackupRefused(
        `This backup was made by a newer release: it has the migration ${name}, which this one does not know. Restore it with that release.`,
      );
    if (!matchesChecksum(sql, checksum))
      throw new BackupRefused(
        `The migration ${name} of this release is another than the one that the backup was made with.`,
      );
  }
  if (given.some(({ name }, at) => name !== migrations[at]?.name))
    throw altered("its migrations are no beginning of those that this release knows");
}

/**
 * Compares the first line of a backup with the schema that its migrations have made: a checksum says that a file is
 * whole, not that the service has written it. What was left out would come back empty, and pass for what it was.
 * @param made the tables of those migrations
 * @throws BackupRefused when it has a table, column or sequence more, less or more often than a backup of that schema,
 * or a number that its sequence cannot have
 */
export async function refuseUnfitHeader(
  client: pg.ClientBase,
  { tables, sequences }: BackupHeader,
  made: ReadonlySet<string>,
): Promise<void> {
  const known = (await readTables(client)).filter(({ name }) => made.has(name) && !leftOut.has(name));
  const columnsOf = new Map(known.map(({ name, columns }) => [name, columns]));
  const isChained = columnsOf.has("audit_seals");
  refuseOtherNames("table", namesOf(tables), namesOf(known.flatMap((table) => partsOf(table, isChained))));
  for (const { name, columns } of tables) {
    const ofTable = columnsOf.get(name) ?? [];
    if (ofTable.length !== columns.length || ofTable.some((column) => !columns.includes(column)))
      throw altered(`the columns of ${name} are others than its migrations make`);
  }
  const counting = await readSequences(client, [...columnsOf.keys()]);
  refuseOtherNames("sequence", namesOf(sequences), namesOf(counting));
  refuseOtherNumbers(sequences, await readLimits(client));
}

/** A share that no sequence comes near by counting: what ends there would soon end the service. */
const roomShare = 1000n;

function refuseOtherNumbers(sequences: Sequences, limits: ReadonlyMap<string, SequenceLimits>): void {
  for (const { name, lastValue } of sequences) {
    const { least, greatest } = limits.get(name) ?? { least: 1n, greatest: 0n };
    const number = BigInt(lastValue);
    if (number < least || number > greatest - greatest / roomShare)
      throw altered(`the number of ${name} is none that it has, or leaves too few behind it`);
  }
}

/**
 * To be asked when the rows are there. Only of the next number: an event that somebody put into the database by hand can
 * have any number after that, and its backup must restore.
 * @throws BackupRefused when a sequence would give a number that a row has
 */
export async function refuseTakenNumbers(client: pg.ClientBase, sequences: Sequences): Promise<void> {
  for (const { name, lastValue, isCalled } of sequences) {
    const table = await tableWithNumber(client, name, BigInt(lastValue) + (isCalled ? 1n : 0n));
    if (table !== undefined)
      throw altered(`the number of ${name} is behind its rows, its next number in ${table} is taken`);
  }
}

const namesOf = (named: readonly { name: string }[]): string[] => named.map(({ name }) => name);

/** As `eventParts` makes them: of a schema with chains there are two, also when one has no rows. */
const partsOf = (table: Table, isChained: boolean): Table[] =>
  table.name === "audit_events" && isChained ? [table, table] : [table];

/** Names of the file stand in no sentence: they can be anything. */
function refuseOtherNames(what: string, given: readonly string[], made: readonly string[]): void {
  if (given.some((name) => !made.includes(name)))
    throw altered(`it names a ${what} that no backup of its migrations has`);
  const missing = made.find((name) => !given.includes(name));
  if (missing !== undefined) throw altered(`it lacks the ${what} ${missing}`);
  const timesIn = (names: readonly string[], name: string): number => names.filter((one) => one === name).length;
  const other = made.find((name) => timesIn(given, name) !== timesIn(made, name));
  if (other !== undefined) throw altered(`it names the ${what} ${other} more or less often than a backup does`);
}

const altered = (why: string): BackupRefused =>
  new BackupRefused(`The first line of this backup was altered: ${why}. Nothing was restored.`);

/**
 * 22 not of the type, 23 against a constraint, 54 too long for an index. 40001 a trigger of ours says of a retired key, and
 * Postgres itself only of stricter transactions than that of a restore.
 */
const isOfRows = (state: string): boolean => /^(22|23|54|40001)/.test(state);

/** 42 against the schema; 42501 is a right we lack. */
const isUnfit = (state: string): boolean => isOfRows(state) || (state.startsWith("42") && state !== "42501");

/** What Postgres does not take, in a sentence of ours. Its own words can quote a row. */
export function refusingUnfit<T>(what: string, work: () => Promise<T>): Promise<T> {
  return refusing(isUnfit, (why) => `This backup was altered: the database does not take ${what} (${why})`, work);
}

/** As `refusingUnfit`, for what is done with the rows: a migration that fails for another reason says so itself. */
export function refusingRows<T>(work: () => Promise<T>): Promise<T> {
  const sentence = (why: string): string =>
    `The rows of this backup cannot be brought up to date (${why}): it was altered, or this release has a defect`;
  return refusing(isOfRows, sentence, work);
}

async function refusing<T>(
  isRefused: (state: string) => boolean,
  sentence: (why: string) => string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const state = sqlState(error);
    if (state === undefined || !isRefused(state)) throw error;
    const rule = constraintOf(error);
    const why = `${rule === undefined ? "" : `${rule}, `}code ${state}`;
    throw new BackupRefused(`${sentence(why)}. Nothing was restored.`, { cause: error });
  }
}

/** A migration that failed has the error of Postgres as its cause. */
function constraintOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("constraint" in error && typeof error.constraint === "string") return error.constraint;
  return constraintOf(error.cause);
}
