import { randomBytes } from "node:crypto";
import type { Server } from "node:http";
import supertest from "supertest";
import { AuditWriter } from "../../src/audit/record.js";
import type { Permission } from "../../src/core/permissions.js";
import { type Database, openDatabase } from "../../src/db/database.js";
import { createOperatorToken } from "../../src/identity/credentials/create-credential.js";
import { createLogger } from "../../src/observability/log.js";
import { createApp } from "../../src/service/app.js";
import { claimInstallation } from "../../src/service/health/store.js";
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

/**
 * Starts the whole service in this process on a database of its own (or on a given one, as a further replica) and
 * a free port. `environment` is what an operator would set: `FACTORY_SECRETS_CONNECT_TO` and so on.
 */
export async function startTestService(
  environment: Record<string, string> = {},
  replicaOf?: Pick<TestService, "databaseUrl" | "key">,
): Promise<TestService> {
  const testDatabase = replicaOf ? undefined : await createTestDatabase();
  const databaseUrl = replicaOf?.databaseUrl ?? testDatabase?.url ?? "";
  const key = replicaOf?.key ?? randomBytes(32).toString("base64");
  const settings = readSettings({
    DATABASE_URL: databaseUrl,
    FACTORY_SECRETS_KEY: key,
    PORT: "0",
    ...withoutLimits,
    ...environment,
  });
  const logLines: string[] = [];
  const log = createLogger("info", {
    write(line: string) {
      logLines.push(line);
      recordText(line);
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
  return {
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
      const rows = await database.pool.query<{ event: Buffer }>("SELECT event FROM audit_events");
      for (const { event } of rows.rows) recordText(event.toString("utf8"));
      await database.close();
      await testDatabase?.drop();
      assertNothingLeaked();
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
