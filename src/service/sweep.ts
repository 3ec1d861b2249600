import { AuditWriter } from "../audit/record.js";
import { clockDifferenceMs } from "../core/database-clock.js";
import { clockIsRight } from "../db/measure-clock.js";
import type { ServiceDatabase } from "../db/open-service-database.js";
import { deleteOldWithdrawals } from "../db/withdrawals.js";
import { deleteOldJobs } from "../identity/credentials/store.js";
import { sweepOAuth } from "../identity/oauth/sessions.js";
import { sweepWorkloads } from "../identity/trust-rules/open-session.js";
import { deleteOldTasks } from "../keys/tasks/store.js";
import type { Logger } from "../observability/log.js";
import { sweepDeletedSecrets } from "../secrets/deleted/undelete-secret.js";
import { deleteOldUses } from "../secrets/usage/secret-uses.js";
import type { Settings } from "../settings/settings.js";
import type { App } from "./app.js";

const daySeconds = 24 * 3_600;
const keepEndedJobsSeconds = 7 * daySeconds;
const keepUsesSeconds = 90 * daySeconds;

/** Removes what has had its time. One part that fails is told in the log and keeps no other from its work. */
export async function sweep(input: {
  app: Pick<App, "rotateSigningKeysIfDue">;
  settings: Pick<Settings, "undeleteDays">;
  database: Pick<ServiceDatabase, "prisma" | "pool">;
  log: Logger;
}): Promise<void> {
  const { app, settings, log } = input;
  const { prisma, pool } = input.database;
  const isRight = await clockIsRight(pool).catch((err: unknown) => void log.warn({ err }, "nothing was swept"));
  if (isRight === undefined) return;
  // Every statement below goes by the database's clock. Still, what removes things for good trusts no machine whose own
  // clock is wrong.
  if (!isRight) return log.error({ differenceMs: clockDifferenceMs() }, "nothing was swept: the clock here is wrong");
  const parts: readonly { failed: string; run: () => Promise<unknown> }[] = [
    { failed: "old jobs could not be removed", run: () => deleteOldJobs(prisma, keepEndedJobsSeconds) },
    { failed: "old ID tokens could not be removed", run: () => sweepWorkloads({ prisma }) },
    { failed: "ended sessions could not be removed", run: () => sweepOAuth(prisma) },
    { failed: "a signing key could not be replaced", run: () => app.rotateSigningKeysIfDue() },
    {
      failed: "deleted secrets could not be removed",
      run: () => sweepDeletedSecrets({ prisma, audit: new AuditWriter(pool), undeleteDays: settings.undeleteDays }),
    },
    { failed: "old withdrawals could not be removed", run: () => deleteOldWithdrawals(pool) },
    { failed: "old key tasks could not be removed", run: () => deleteOldTasks(prisma, keepUsesSeconds) },
    { failed: "old uses of secrets could not be removed", run: () => deleteOldUses(prisma, keepUsesSeconds) },
  ];
  for (const { failed, run } of parts) await run().catch((err: unknown) => log.warn({ err }, failed));
}
