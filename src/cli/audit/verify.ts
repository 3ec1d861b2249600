import { isDeepStrictEqual } from "node:util";
import type { VerifyOptions } from "../../audit/chain/chain-verifier.js";
import { exportRange } from "../../audit/chain/export-lines.js";
import { installationId } from "../../audit/chain/store.js";
import { checkFactoryStatements } from "../../audit/database-check/factory-statements.js";
import { findingSentence } from "../../audit/database-check/finding.js";
import { lastCuts } from "../../audit/database-check/store.js";
import { findStray } from "../../audit/database-check/stray-events.js";
import { walkInstallation } from "../../audit/database-check/walk/walk.js";
import type { Database } from "../../db/database.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { progressBar } from "../progress-bar.js";
import { barred, readOptions, report, type VerifyArguments } from "./verify-file.js";

type Reading = Pick<Database, "prisma" | "pool">;

/**
 * Checks what is in the database: the chain of the installation up to the last signed checkpoint, that the chain of each
 * factory has the same events in the same order, and that no event stands beside them.
 * @throws CommandFailure as `verifyFile`
 */
export async function verifyDatabase(database: Reading, given: VerifyArguments): Promise<string> {
  const options = await readOptions(given);
  const { prisma } = database;
  const cutsBefore = await lastCuts(prisma);
  const installation = await installationId(prisma);
  const range = installation === undefined ? undefined : await exportRange(prisma, installation);
  if (range === undefined) {
    throw new CommandFailure(
      exitCodes.usage,
      "No checkpoint is signed yet. The server signs the first after a minute.",
    );
  }
  try {
    const {
      verified: result,
      found,
      behind,
    } = await barred((bar) => walkInstallation(database, range, { ...options, onProgress: bar.show }));
    if (found !== undefined) throw broken(findingSentence(found));
    const { factories, waiting } = await compared(database, range.chain, options, result.through - result.from + 1);
    return report(result, options, given, { factories, newer: behind + waiting });
  } catch (error) {
    // What a prune took away while it was looked for would look like a break.
    if (isBreak(error) && !isDeepStrictEqual(await lastCuts(prisma), cutsBefore)) throw prunedMeanwhile();
    throw error;
  }
}

const isBreak = (error: unknown): boolean => error instanceof CommandFailure && error.exitCode === exitCodes.failed;

const prunedMeanwhile = (): CommandFailure =>
  new CommandFailure(exitCodes.usage, "Events were pruned while they were read, so this says nothing. Run it again.");

/** @returns how many factories have a chain, and how many events wait for their places */
async function compared(
  database: Reading,
  installation: string,
  { keys }: VerifyOptions,
  total: number,
): Promise<{ factories: number; waiting: number }> {
  const bar = progressBar("Comparing");
  try {
    const { found, waiting } = await findStray(database, installation, (done) => bar.show(done, total));
    const { factories, unfit } = await checkFactoryStatements(database.prisma, keys);
    const problem = found ?? unfit;
    if (problem !== undefined) throw broken(problem);
    return { factories, waiting };
  } finally {
    bar.clear();
  }
}

const broken = (sentence: string) => new CommandFailure(exitCodes.failed, `BROKEN: ${sentence}.`);
