import { AuditWriter } from "../audit/record.js";
import type { ServiceDatabase } from "../db/open-service-database.js";
import { deleteOldWithdrawals } from "../db/withdrawals.js";
import { deleteOldJobs } from "../identity/credentials/store.js";
import { sweepOAuth } from "../identity/oauth/sweep.js";
import { sweepWorkloads } from "../identity/oidc/open-session.js";
import { deleteOldTasks } from "../keys/tasks/store.js";
import type { Logger } from "../observability/log.js";
import { sweepDeletedSecrets } from "../secrets/deleted/sweep-deleted.js";
import { deleteOldUses } from "../secrets/usage/store.js";
import type { Settings } from "../settings/settings.js";
import type { App } from "./app.js";

const dayMs = 24 * 3_600_000;
const keepEndedJobsMs = 7 * dayMs;
const keepUsesMs = 90 * dayMs;

/** Removes what has had its time. One part that fails is told in the log and keeps no other from its work. */
export async function sweep(input: {
  app: Pick<App, "rotateSigningKeysIfDue">;
  settings: Pick<Settings, "undeleteDays">;
  database: Pick<ServiceDatabase, "prisma" | "pool">;
  log: Logger;
}): Promise<void> {
  const { app, settings, log } = input;
  const { prisma, pool } = input.database;
  const now = new Date();
  const before = (ageMs: number): Date => new Date(now.getTime() - ageMs);
  const parts: readonly { failed: string; run: () => Promise<unknown> }[] = [
    { failed: "old jobs could not be removed", run: () => deleteOldJobs(prisma, before(keepEndedJobsMs)) },
    { failed: "old ID tokens could not be removed", run: () => sweepWorkloads({ prisma }, now) },
    { failed: "ended sessions could not be removed", run: () => sweepOAuth(prisma, now) },
    { failed: "a signing key could not be replaced", run: () => app.rotateSigningKeysIfDue() },
    {
      failed: "deleted secrets could not be removed",
      run: () =>
        sweepDeletedSecrets({ prisma, audit: new AuditWriter(pool), undeleteDays: settings.undeleteDays }, now),
    },
    { failed: "old withdrawals could not be removed", run: () => deleteOldWithdrawals(pool) },
    { failed: "old key tasks could not be removed", run: () => deleteOldTasks(prisma, before(keepUsesMs)) },
    { failed: "old uses of secrets could not be removed", run: () => deleteOldUses(prisma, before(keepUsesMs)) },
  ];
  for (const { failed, run } of parts) await run().catch((err: unknown) => log.warn({ err }, failed));
}
