import type { KeyRing } from "../../crypto/key-ring.js";
import { readKnownKeys } from "../../crypto/open-key-ring.js";
import type { Database } from "../../db/database.js";
import { clockIsRight } from "../../db/measure-clock.js";
import { migrationsAreComplete } from "../../db/migrate.js";
import { openApiTexts } from "../../http/openapi.js";
import type { Drain } from "../../http/server.js";
import type { Metrics } from "../../observability/metrics.js";
import {
  compressText,
  databaseAnswers,
  databaseTakesWrites,
  type OpenApiFiles,
  type ProbeResult,
  type ReadinessProbe,
} from "../health.js";
import { offeredDirectory, readOffered, readOfferedHelper } from "../offered-files.js";

import { routes } from "../routes.js";

export const databaseAway = "The database does not answer.";
const databaseReadOnly = "The database takes no writes: it is a standby, or default_transaction_read_only is on.";
const stopping = "This replica is about to stop.";
const keysMissing = "This replica does not hold the active key-encryption key.";
const clockIsWrong = "The clock of this machine differs from the database's by more than 30 s. Set it right.";
const migrating = "A migration is under way or has failed.";

/** What the service says of itself: its OpenAPI document, its metrics, whether it is ready, and the command line for it. */
export function createSystemDeps(input: { database: Database; keys: KeyRing; metrics: Metrics; drain: Drain }) {
  const { keys, metrics, drain } = input;
  const { prisma, pool } = input.database;
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
    metricsText: forASecond(() => metrics.registry.metrics()),
    probes: [
      { name: "database", reason: databaseAway, check: async () => okIf(await databaseAnswers(pool)) },
      { name: "read-only", reason: databaseReadOnly, check: async () => okIf(await databaseTakesWrites(pool)) },
      { name: "draining", reason: stopping, check: async () => okIf(!drain.begun) },
      { name: "keys", reason: keysMissing, check: keysAreHeld },
      // Asked again each time: the reader wants to know about now.
      { name: "clock", reason: clockIsWrong, check: async () => okIf(await clockIsRight(pool)) },
      { name: "migrations", reason: migrating, check: async () => okIf(await migrationsAreComplete(pool)) },
    ] satisfies ReadinessProbe[],
  };
}

async function compressedOpenApi(): Promise<OpenApiFiles> {
  const { json, yaml } = openApiTexts(routes);
  return { json: await compressText(json), yaml: await compressText(yaml) };
}

const okIf = (holds: boolean): ProbeResult => (holds ? "ok" : "failed");

/** Remembers an answer for a second, no matter who asks: making it takes milliseconds, and anybody can ask. */
function forASecond<T>(make: () => Promise<T>): () => Promise<T> {
  let made: { value: Promise<T>; until: number } | undefined;
  return () => {
    const now = performance.now();
    if (!made || now >= made.until) made = { value: make(), until: now + 1_000 };
    return made.value;
  };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
