import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import supertest from "supertest";
import { AuditWriter } from "../../src/audit/record.js";
import type { Permission } from "../../src/core/permissions.js";
import { type Database, openDatabase } from "../../src/db/database.js";
import { createOperatorToken } from "../../src/identity/credentials/create-credential.js";
import { createLogger } from "../../src/observability/log.js";
import { createApp } from "../../src/service/app.js";
import { claimInstallation } from "../../src/service/health.js";
import { openKeys } from "../../src/service/key-source.js";
import { readSettings } from "../../src/settings/settings.js";
import { assertNothingLeaked, recordExchange, recordText } from "./leak-watch.js";
import { createTestDatabase } from "./test-database.js";

/** All tests come from one address and by few tokens; those of the limits set them. */
const withoutLimits = {
  FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "0",
  FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: "0",
};

export type TestService = {
  server: Server;
  url: string;
  /** The listener for devices, when the environment opens one. */
  deviceUrl: string;
  database: Database;
  databaseUrl: string;
  /** base64 of the key-encryption key, for a second replica on the same database. */
  key: string;
  operatorToken: string;
  /** Every line that the service has logged. */
  logLines: string[];
  /** A request as a caller with this token (none when `undefined`), over real HTTP. */
  as(token: string | undefined): ReturnType<typeof supertest.agent>;
  createFactory(name?: string): Promise<{ id: string; name: string }>;
  createApiToken(factory: string, permissions: readonly Permission[]): Promise<{ id: string; token: string }>;
  openJob(factory: string, job?: Record<string, unknown>): Promise<{ id: string; token: string }>;
  close(): Promise<void>;
};

type Installation = Pick<TestService, "databaseUrl" | "key">;

// The files of a worker share its modules, and so this service and its database.
let ofWorker: Promise<RunningService> | undefined;

/**
 * Without arguments: the service that all test files of a worker share. Each test makes a factory of its own in it, and
 * tenancy keeps them apart; so nothing may be asked of the installation as a whole. With an `environment`, which is what an
 * operator would set, another service is started in this process on a free port: on the same database, as a further
 * replica, or on the one of `replicaOf`. `close` searches all that was seen since the start for secrets.
 */
export async function startTestService(
  environment?: Record<string, string>,
  replicaOf?: Installation,
): Promise<TestService> {
  if (environment === undefined) return lend(await serviceOfWorker());
  return run(environment, replicaOf ?? (await serviceOfWorker()).service);
}

/** Starts a service on a new database: for tests of the installation as a whole, its audit, its keys or its limits. */
export async function startOwnTestService(environment: Record<string, string> = {}): Promise<TestService> {
  const testDatabase = await createTestDatabase();
  const installation = { databaseUrl: testDatabase.url, key: randomBytes(32).toString("base64") };
  const service = await run(environment, installation);
  const close = async () => {
    try {
      await service.close();
    } finally {
      await testDatabase.drop();
    }
  };
  return { ...service, close };
}

type RunningService = { service: TestService; onLogLine: Set<(line: string) => void> };

/** It is never closed: it ends with its process, and its database with the run. */
function serviceOfWorker(): Promise<RunningService> {
  // Where the run is killed the process is asked nothing more, and would live as long as the service listens.
  if (ofWorker === undefined) process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  ofWorker ??= createTestDatabase().then(({ url }) =>
    start({}, { databaseUrl: url, key: randomBytes(32).toString("base64") }, "0"),
  );
  return ofWorker;
}

/** One test file's view of the shared service. */
async function lend({ service, onLogLine }: RunningService): Promise<TestService> {
  const logLines: string[] = [];
  const keep = (line: string) => logLines.push(line);
  onLogLine.add(keep);
  const lastBefore = await lastEvent(service);
  const close = async () => {
    onLogLine.delete(keep);
    recordText((await service.as(undefined).get("/metrics")).text);
    await recordEvents(service, lastBefore);
    assertNothingLeaked();
  };
  return { ...service, logLines, close };
}

async function run(environment: Record<string, string>, installation: Installation): Promise<TestService> {
  const shared = (await ofWorker)?.service;
  const isShared = shared?.databaseUrl === installation.databaseUrl;
  return (await start(environment, installation, isShared ? await lastEvent(shared) : "0")).service;
}

/** @param lastBefore - the last event that is of other test files */
async function start(
  environment: Record<string, string>,
  { databaseUrl, key }: Installation,
  lastBefore: string,
): Promise<RunningService> {
  const settings = readSettings({
    DATABASE_URL: databaseUrl,
    FACTORY_SECRETS_KEY: key,
    PORT: "0",
    ...withoutLimits,
    ...environment,
  });
  const logLines: string[] = [];
  const onLogLine = new Set<(line: string) => void>([(line) => logLines.push(line)]);
  const log = createLogger("info", {
    write(line: string) {
      recordText(line);
      for (const told of onLogLine) told(line);
    },
  });
  const database = openDatabase({
    url: databaseUrl,
    connections: settings.databaseConnections,
    onError: () => undefined,
  });
  const keys = await openKeys(database.prisma, settings, undefined);
  const app = createApp({ settings, database, directUrl: databaseUrl, keys, log });
  const servers = [app.server, ...(app.deviceServer ? [app.deviceServer] : [])];
  for (const one of servers) await new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve));
  await claimInstallation(database.prisma);
  const audit = new AuditWriter(database.pool);
  const { token: operatorToken } = await createOperatorToken(
    { prisma: database.prisma, audit },
    { name: "test operator", maker: undefined },
  );
  const url = `${settings.tls ? "https" : "http"}://127.0.0.1:${portOf(app.server)}`;
  const as = (token: string | undefined) => {
    // Whose certificate it is, the tests of TLS look at themselves.
    const agent = supertest.agent(url, { rejectUnauthorized: false });
    agent.on("response", recordExchange);
    return token === undefined ? agent : agent.set("OSF-TOKEN", token);
  };
  const made = async (path: string, body: object) => {
    const reply = await as(operatorToken).post(path).send(body);
    if (reply.status !== 201) throw new Error(`${path} answered ${reply.status}: ${reply.text}`);
    return reply.body;
  };
  const service: TestService = {
    server: app.server,
    url,
    deviceUrl: app.deviceServer ? `https://127.0.0.1:${portOf(app.deviceServer)}` : "",
    database,
    databaseUrl,
    key,
    operatorToken,
    logLines,
    as,
    createFactory: (name = `f-${randomBytes(4).toString("hex")}`) => made("/v1/factories", { name }),
    createApiToken: (factory, permissions) =>
      made(`/v1/factories/${factory}/api-tokens`, { name: permissions.join(" ") || "none", permissions }),
    openJob: (factory, job = {}) => made(`/v1/factories/${factory}/jobs`, { name: "test job", ...job }),
    async close() {
      recordText((await as(undefined).get("/metrics")).text);
      for (const one of servers) {
        one.closeAllConnections();
        await new Promise<void>((resolve) => one.close(() => resolve()));
      }
      await app.close();
      await recordEvents(service, lastBefore);
      await database.close();
      assertNothingLeaked();
    },
  };
  return { service, onLogLine };
}

async function lastEvent({ database }: Pick<TestService, "database">): Promise<string> {
  const { rows } = await database.pool.query<{ last: string }>(
    "SELECT coalesce(max(id), 0)::text AS last FROM audit_events",
  );
  return rows[0]?.last ?? "0";
}

async function recordEvents({ database }: Pick<TestService, "database">, after: string): Promise<void> {
  const { rows } = await database.pool.query<{ event: Buffer }>("SELECT event FROM audit_events WHERE id > $1", [
    after,
  ]);
  for (const { event } of rows) recordText(event.toString("utf8"));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
