import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { type OwnPostgres, startOwnPostgres } from "./own-postgres.js";
import {
  type Answered,
  askEverything,
  openRegistry,
  prepareFactory,
  untilEverythingWorks,
} from "./requests-of-all-kinds.js";

/**
 * A request waits for a connection and for its statement, 5 s each, the rest is a slow machine's; the database would be
 * away for ever. That it is 5 s: no-room.test.ts.
 */
const timeoutSeconds = 30;

let own: OwnPostgres;
let broker: BrokeredFactory;
let job: string;
beforeAll(async () => {
  own = await startOwnPostgres();
  const few = { FACTORY_SECRETS_DATABASE_CONNECTIONS: "4" };
  broker = await startBrokeredFactory(openRegistry, few, { databaseUrl: own.url, key: own.key });
  job = await prepareFactory(broker);
  await untilEverythingWorks(broker, job);
});
afterAll(async () => {
  await broker.close();
  await own.close();
});

function expectUnavailable(answers: readonly Answered[]): void {
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 503, code: "unavailable", retryAfter: expect.stringMatching(/^\d+$/) });
    expect(answer.seconds).toBeLessThan(timeoutSeconds);
  }
}

const statusOf = async (path: string): Promise<number> =>
  (await broker.service.as(undefined).get(path).redirects(0)).status;

describe("a Postgres that is stopped", () => {
  it("makes every request 503 with Retry-After, and is found again without a restart of the service", async () => {
    await own.stop();
    expectUnavailable(await askEverything(broker, job));
    expect(await statusOf("/healthz")).toBe(200);
    expect(await statusOf("/readyz")).toBe(503);
    await own.start();
    await untilEverythingWorks(broker, job);
    expect(await statusOf("/readyz")).toBe(200);
  });
});

const failing = async (): Promise<string[]> => {
  const { body } = await broker.service.as(undefined).get("/readyz");
  return body.checks.filter(({ ok }: { ok: boolean }) => !ok).map(({ name }: { name: string }) => name);
};

describe("a Postgres that takes no writes", () => {
  const writes = ["write", "new factory-config", "new job", "registry token"];

  async function expectReadOnly(): Promise<void> {
    await expect.poll(failing).toEqual(["read-only"]);
    expect(await statusOf("/readyz")).toBe(503);
    const answers = await askEverything(broker, job);
    expectUnavailable(answers.filter(({ kind }) => writes.includes(kind)));
    expect(answers.filter(({ kind }) => !writes.includes(kind)).map(({ status }) => status)).toEqual([200, 200]);
  }

  it("because it was demoted makes every write 503 and the replica not ready, until it is promoted", async () => {
    await own.demote();
    await expectReadOnly();
    await own.promote();
    await untilEverythingWorks(broker, job);
    expect(await statusOf("/readyz")).toBe(200);
    await own.stop();
    await own.start();
    await untilEverythingWorks(broker, job);
  });

  it("because it was told to is found out on connections that were open before", async () => {
    const admin = new pg.Client({ connectionString: own.directUrl() });
    await admin.connect();
    await admin.query("ALTER SYSTEM SET default_transaction_read_only = on");
    await admin.query("SELECT pg_reload_conf()");
    await expectReadOnly();
    await admin.query("ALTER SYSTEM RESET default_transaction_read_only");
    await admin.query("SELECT pg_reload_conf()");
    await admin.end();
    await untilEverythingWorks(broker, job);
    expect(await statusOf("/readyz")).toBe(200);
  });
});

describe.skipIf(process.platform !== "linux")("a Postgres whose processes are frozen", () => {
  it("makes every request 503 within the time-out, and is found again when it goes on", async () => {
    await own.freeze();
    expectUnavailable(await askEverything(broker, job));
    expect(await failing()).toContain("database");
    expect(await statusOf("/healthz")).toBe(200);
    await own.thaw();
    await untilEverythingWorks(broker, job);
    expect(await statusOf("/readyz")).toBe(200);
  });
});

describe("a Postgres that nothing is heard of", () => {
  it("keeps no request longer than the time-out, and is found again when it answers", async () => {
    own.stall();
    expectUnavailable(await askEverything(broker, job));
    expect(await statusOf("/healthz")).toBe(200);
    own.resume();
    await untilEverythingWorks(broker, job);
  });
});
