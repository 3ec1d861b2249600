import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import pg from "pg";
import { afterEach, describe, expect, it } from "vitest";
import { exportNdjson } from "../../../src/audit/log/export.js";
import { signedLogs } from "../../../src/audit/log/read-log.js";
import { verifyExport } from "../../../src/audit/log/verify.js";
import { verifyDatabase } from "../../../src/cli/server/audit.js";
import { applyNext, type Migration, readMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { isWellFormedToken } from "../../../src/identity/token.js";
import { createStoredValues } from "../../support/crash/stored-values.js";
import { earlierTransactionsEnded } from "../../support/earlier-transactions.js";
import { secretValue } from "../../support/leak-watch.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const firstRelease = "20261124000000_init";
const rows = new URL(`../../fixtures/releases/${firstRelease}.sql`, import.meta.url);
const key = Buffer.from("not-a-real-key-of-an-old-release").toString("base64");
const path = "/v1/factories/acme";

/** A token of the fixture, well-formed and made up. */
function tokenOf(prefix: string, name: string): string {
  const body = prefix + `not-a-real-token-of-${name}`.padEnd(43, "-");
  return body + hash("sha256", `checksum:${body}`, "base64url").slice(0, 6);
}

let database: TestDatabase;
let service: TestService | undefined;
afterEach(async () => {
  await service?.close();
  service = undefined;
  await database.drop();
});

/** Applies these migrations, one transaction each, as a start does. */
async function apply(client: pg.Client, migrations: readonly Migration[]): Promise<string[]> {
  const applied: string[] = [];
  for (;;) {
    await client.query("BEGIN");
    const name = await applyNext(client, migrations);
    await client.query("COMMIT");
    if (name === undefined) return applied;
    applied.push(name);
  }
}

/** What an old service left is used by the present one: everything opens, everybody is known, the audit holds. */
async function expectUsable(started: TestService): Promise<void> {
  const operator = () => started.as(tokenOf("fso_", "first-operator"));
  const { body: factories } = await operator().get("/v1/factories").expect(200);
  expect(factories.items.map((item: { name: string }) => item.name)).toContain("acme");
  expectProblem(await started.as(tokenOf("fso_", "withdrawn-operator")).get(path), "unauthenticated");
  const { body: secrets } = await started.as(tokenOf("fsu_", "ci-server")).get(`${path}/secrets`).expect(200);
  expect(secrets.items.map((item: { name: string; version: number }) => `${item.name} ${item.version}`)).toEqual([
    "ghcr_creds 2",
    "npm_token 1",
    "signing_key 1",
  ]);
  const { body: config } = await operator().get(`${path}/config/versions`).expect(200);
  expect(config.items.map((item: { version: number }) => item.version)).toEqual([3, 2, 1]);
  const { body: made } = await operator().get(`${path}/api-tokens`).expect(200);
  expect(made.items).toMatchObject([{ name: "ci server" }]);

  const { rows: found } = await started.database.pool.query("SELECT id FROM factories WHERE name = 'acme'");
  const stored = await createStoredValues(started, found[0]?.id);
  expect(await stored.open("ghcr_creds", 1)).toBe("ci:not-a-real-secret-1");
  expect(await stored.open("ghcr_creds", 2)).toBe("ci:not-a-real-secret-2");
  expect(await stored.open("signing_key", 1)).toBe("not-a-real-secret-4\n\u{1F511}\n");
  await stored.close();
}

/** What was there can be changed, by everything that has come since. */
async function expectChangeable(started: TestService): Promise<void> {
  const operator = () => started.as(tokenOf("fso_", "first-operator"));
  const secret = `${path}/secrets/ghcr_creds`;
  const same = await operator().post(`${secret}:verify`).send({ value: "ci:not-a-real-secret-2" });
  expect(same.body).toMatchObject({ matches: true });
  await operator().post(`${secret}/versions/1:restore`).send({}).expect(200);
  const staged = await operator()
    .put(`${secret}?stage=true`)
    .send({ value: `ci:${secretValue()}` });
  expect(staged.status).toBe(200);
  await operator().post(`${secret}/versions/${staged.body.version}:promote`).send({}).expect(200);
  await operator().put(`${path}/secrets/npm_token`).send({ value: secretValue() }).expect(200);
}

async function expectVerified({ database, as }: TestService): Promise<void> {
  const { prisma } = database;
  await earlierTransactionsEnded(database);
  const operator = as(tokenOf("fso_", "first-operator"));
  // An export seals what is there and signs the end.
  await operator.get("/v1/audit/export").expect(200);
  const { id } = await prisma.installation.findFirstOrThrow();
  const logs = await verifyExport(exportNdjson(prisma, await signedLogs(prisma, id), "installation"));
  expect(logs.reduce((sum, { size }) => sum + size, 0)).toBeGreaterThan(20);
  expect(await verifyDatabase(prisma, {})).toContain("OK: no event was altered");
}

describe("data of the first release", () => {
  it("goes through every later migration, one after the other, and is used by this one", async () => {
    database = await createTestDatabase("empty");
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const migrations = await readMigrations(migrationsDirectory);
    const [first, ...later] = migrations;
    if (first?.name !== firstRelease) throw new Error(`the first migration is ${first?.name}`);
    await apply(client, [first]);
    await client.query(await readFile(rows, "utf8"));
    for (const [index, { name }] of later.entries())
      expect(await apply(client, migrations.slice(0, index + 2))).toEqual([name]);
    await client.end();
    service = await startTestService({}, { databaseUrl: database.url, key });
    await expectUsable(service);
    await expectChangeable(service);
    await expectVerified(service);
  });

  it("can be written beside this release, which uses it: an old replica goes on during an upgrade", async () => {
    database = await createTestDatabase("migrated");
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(await readFile(rows, "utf8"));
    await client.end();
    service = await startTestService({}, { databaseUrl: database.url, key });
    await expectUsable(service);
    await expectChangeable(service);
    await expectVerified(service);
  });

  it("has tokens that are none", () => {
    database = { url: "", drop: async () => undefined };
    expect(isWellFormedToken(tokenOf("fso_", "first-operator"))).toBe(true);
  });
});
