import type { KeyRing } from "../../crypto/key-ring.js";
import { readKnownKeys } from "../../crypto/store.js";
import type { Database } from "../../db/database.js";
import { migrationsAreComplete } from "../../db/migrate.js";
import { openApiTexts } from "../../http/openapi.js";
import type { Metrics } from "../../observability/metrics.js";
import { offeredDirectory, readOffered, readOfferedHelper } from "../command-line/read-offered.js";
import { compressText, type OpenApiFiles, type ProbeResult } from "../health/routes.js";
import { databaseAnswers } from "../health/store.js";
import { routes } from "../routes.js";

/** What the service says of itself: its OpenAPI document, its metrics, whether it is ready, and the command line for it. */
export function createSystemDeps({ database, keys, metrics }: { database: Database; keys: KeyRing; metrics: Metrics }) {
  const { prisma, pool } = database;
  // A key that does not answer takes no replica out: what is in memory serves on, and every replica has the same trouble.
  const keysAreHeld = async (): Promise<ProbeResult> => {
    const known = (await readKnownKeys(prisma)).filter(({ state }) => state !== "retired");
    if (!known.some(({ id, state }) => state === "active" && keys.find(id))) return "failed";
    return known.some(({ id }) => keys.problemOf(id) !== undefined) ? "degraded" : "ok";
  };
  return {
    offeredCli: once(() => readOffered(offeredDirectory)),
    offeredHelper: once(readOfferedHelper),
    openApi: once(compressedOpenApi),
    metricsText: () => metrics.registry.metrics(),
    probes: [
      { name: "database", check: async () => okIf(await databaseAnswers(pool)) },
      { name: "keys", check: keysAreHeld },
      { name: "migrations", check: async () => okIf(await migrationsAreComplete(pool)) },
    ],
  };
}

async function compressedOpenApi(): Promise<OpenApiFiles> {
  const { json, yaml } = openApiTexts(routes);
  return { json: await compressText(json), yaml: await compressText(yaml) };
}

const okIf = (holds: boolean): ProbeResult => (holds ? "ok" : "failed");

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
