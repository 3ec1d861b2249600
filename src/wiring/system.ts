import type { KeyRing } from "../crypto/key-ring.js";
import { readKnownKeys } from "../crypto/store.js";
import type { Database } from "../db/database.js";
import { migrationsAreComplete } from "../db/migrate.js";
import { openApiTexts } from "../http/openapi.js";
import type { Metrics } from "../observability/metrics.js";
import { routes } from "../routes.js";
import { offeredDirectory, readOffered } from "../system/command-line/read-offered.js";
import { databaseAnswers } from "../system/store.js";

/** What the service says of itself: its OpenAPI document, its metrics, whether it is ready, and the command line for it. */
export function createSystemDeps({ database, keys, metrics }: { database: Database; keys: KeyRing; metrics: Metrics }) {
  const { prisma, pool } = database;
  const keyIsActive = async (): Promise<boolean> =>
    (await readKnownKeys(prisma)).some(({ id, state }) => id === keys.active.id && state === "active");
  return {
    offeredCli: once(() => readOffered(offeredDirectory)),
    openApi: once(() => openApiTexts(routes)),
    metricsText: () => metrics.registry.metrics(),
    probes: [
      { name: "database", check: () => databaseAnswers(pool) },
      { name: "keys", check: keyIsActive },
      { name: "migrations", check: () => migrationsAreComplete(pool) },
    ],
  };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
