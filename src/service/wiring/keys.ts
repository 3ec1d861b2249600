import type { AuditWriter } from "../../audit/record.js";
import type { KeyRing } from "../../crypto/key-ring.js";
import { startChangeFeed } from "../../db/change-feed.js";
import type { Database } from "../../db/database.js";
import { DatabaseUnusable } from "../../db/database-unusable.js";
import { explainConnection } from "../../db/explain-connection.js";
import type { Generations } from "../../db/generations.js";
import { pollWithdrawals, type Withdrawals } from "../../db/withdrawals.js";
import { KeyTasks } from "../../keys/tasks/key-tasks.js";
import type { Logger } from "../../observability/log.js";
import { FactoryKeys } from "../../secrets/factory-keys.js";

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
