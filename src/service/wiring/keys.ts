import type { AuditWriter } from "../../audit/record.js";
import { AwsKeys } from "../../aws/aws-keys.js";
import { answerAwsFiles, type MakeKeysDeps } from "../../aws/make-keys.js";
import type { AwsFiles, AwsFilesInput } from "../../broker/issue/render-reply.js";
import type { KeyRing } from "../../crypto/key-ring.js";
import { startChangeFeed } from "../../db/change-feed.js";
import type { Database } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { DatabaseUnusable, explainConnection } from "../../db/wait-for-database.js";
import { pollWithdrawals, type Withdrawals } from "../../db/withdrawals.js";
import { apiAccess, federation, relay } from "../../identity/oauth/keys/rotate-signing-key.js";
import { SigningKeys, type SigningKeysDeps } from "../../identity/oauth/keys/signing-keys.js";
import { KeyTasks } from "../../keys/tasks/key-tasks.js";
import type { Logger } from "../../observability/log.js";
import { FactoryKeys } from "../../secrets/factory-keys.js";
import type { Settings } from "../../settings/settings.js";

/** Starts what keeps the keys of factories at hand, learns of changes elsewhere, and works on key tasks. */
export function startKeyUpkeep(input: {
  database: Database;
  directUrl: string;
  audit: AuditWriter;
  keys: KeyRing;
  generations: Generations;
  withdrawals: Withdrawals;
  log: Logger;
}) {
  const { database, directUrl, audit, keys, generations, withdrawals, log } = input;
  const { prisma, pool } = database;
  const factoryKeys = new FactoryKeys({ prisma, keys });
  const polling = pollWithdrawals(pool, withdrawals);
  const announced = startChangeFeed({
    ...{ directUrl, pool, generations },
    onDataKeys: (factoryId) => factoryKeys.forget(factoryId),
    onWithdrawn: (subject) => withdrawals.observe(subject),
    onMissed: () => factoryKeys.doubtAll(),
    onLost(err) {
      const explained = explainConnection(err, directUrl, "DATABASE_DIRECT_URL");
      const reason = explained instanceof DatabaseUnusable ? explained.message : undefined;
      log.warn({ err, reason }, "the LISTEN connection was lost; changes are seen by polling until it is back");
    },
  });
  const feed = {
    async close() {
      polling.close();
      await announced.close();
    },
  };
  const keyTasks = new KeyTasks({ prisma, audit, keys, factoryKeys, onError: (err, what) => log.warn({ err }, what) });
  keyTasks.start();
  return { factoryKeys, feed, keyTasks };
}

/** The keys of each use, and the name under which clouds fetch those that are for them. */
export function createSigning(deps: SigningKeysDeps, { publicUrl }: Pick<Settings, "publicUrl">) {
  const signingKeys = new SigningKeys(deps, apiAccess);
  const federationKeys = new SigningKeys(deps, federation);
  const relayKeys = new SigningKeys(deps, relay);
  return {
    signingKeys,
    federationKeys,
    relayKeys,
    federationUrl: publicUrl,
    rotateIfDue: async (): Promise<void> => {
      for (const keys of [signingKeys, federationKeys, relayKeys]) await keys.rotateIfDue();
    },
  };
}

/** What answers the programs that speak AWS's protocols. */
export function createAwsDeps(
  input: Omit<MakeKeysDeps, "awsKeys"> & { factoryKeys: FactoryKeys; now: () => Date },
): MakeKeysDeps & { awsFiles(input: AwsFilesInput): Promise<AwsFiles> } {
  const { callers, facts, audit, publicUrl, factoryKeys, now } = input;
  const awsKeys = new AwsKeys({ callers, facts, factoryKeys, now });
  const deps = { awsKeys, callers, facts, audit, publicUrl };
  return { ...deps, awsFiles: (asked) => answerAwsFiles(deps, asked) };
}
