import { execFileSync } from "node:child_process";
import { chownSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { secretValue } from "../../support/leak-watch.js";
import { type OwnPostgres, startOwnPostgres } from "./own-postgres.js";
import { askEverything, openRegistry, prepareFactory, untilEverythingWorks } from "./requests-of-all-kinds.js";

let own: OwnPostgres;
let broker: BrokeredFactory;
let job: string;
let admin: pg.Client;
beforeAll(async () => {
  own = await startOwnPostgres();
  const few = { FACTORY_SECRETS_DATABASE_CONNECTIONS: "3" };
  broker = await startBrokeredFactory(openRegistry, few, { databaseUrl: own.url, key: own.key });
  job = await prepareFactory(broker);
  admin = new pg.Client({ connectionString: own.directUrl() });
  await admin.connect();
});
afterAll(async () => {
  await admin.end();
  await broker.close();
  await own.close();
  small?.unmount();
});

describe("a pool whose connections are all in use", () => {
  it("lets a request wait 5 s for one of them, and as long for each statement", async () => {
    const { pool } = broker.service.database;
    expect(pool.options).toMatchObject({ connectionTimeoutMillis: 5_000, statement_timeout: 5_000 });
    expect((await pool.query("SHOW statement_timeout")).rows).toEqual([{ statement_timeout: "5s" }]);
  });

  it("answers 503 with Retry-After within the time-out, and serves again as soon as one is free", async () => {
    await admin.query("BEGIN");
    await admin.query("LOCK TABLE factories, credentials, audit_events IN ACCESS EXCLUSIVE MODE");
    const rounds = await Promise.all(Array.from({ length: 5 }, () => askEverything(broker, job)));
    for (const answer of rounds.flat()) {
      expect(answer).toMatchObject({ status: 503, code: "unavailable", retryAfter: expect.stringMatching(/^\d+$/) });
      // Twice 5 s and what a slow machine adds; the lock would be held for ever.
      expect(answer.seconds).toBeLessThan(30);
    }
    expect((await broker.service.as(undefined).get("/healthz")).status).toBe(200);
    await admin.query("ROLLBACK");
    await untilEverythingWorks(broker, job);
  });
});

/** A file system of 24 MiB; `undefined` where this user may mount none. */
function mountSmall(): { path: string; unmount(): void } | undefined {
  const path = mkdtempSync(join(tmpdir(), "factory-secrets-small-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", path], { stdio: "ignore" });
  } catch {
    rmSync(path, { recursive: true });
    return undefined;
  }
  return {
    path,
    unmount() {
      execFileSync("umount", [path]);
      rmSync(path, { recursive: true });
    },
  };
}

const small = mountSmall();

test.skipIf(small === undefined)(
  "a disk that is full makes writes 503 and leaves none half done; with room again they go on",
  async () => {
    const path = small?.path ?? "";
    const { uid, gid } = statSync(own.cluster);
    chownSync(path, uid, gid);
    const factory = `/v1/factories/${broker.factory.name}`;
    const operator = () => broker.service.as(broker.service.operatorToken);
    await admin.query(`CREATE TABLESPACE small LOCATION '${path}'`);
    await admin.query("ALTER TABLE secret_versions SET TABLESPACE small");
    const name = (index: number) => `${factory}/secrets/big${index}`;
    const big = () => secretValue().padEnd(60_000, "x");
    const statuses: number[] = [];
    for (let index = 0; statuses.at(-1) !== 503 && index < 1_000; index += 1) {
      const reply = await operator().put(name(index)).send({ value: big() });
      statuses.push(reply.status);
      if (reply.status === 503) expect(reply.headers["retry-after"]).toMatch(/^\d+$/);
    }
    expect(new Set(statuses)).toEqual(new Set([201, 503]));
    const failed = statuses.length - 1;
    expect((await operator().get(name(failed))).status).toBe(404);
    const { rows } = await admin.query<{ written: number; audited: number }>(
      `SELECT (SELECT count(*)::int FROM secrets WHERE name LIKE 'big%') AS written,
         (SELECT count(*)::int FROM audit_events WHERE action = 'secret.written' AND secret LIKE 'big%') AS audited`,
    );
    expect(rows).toEqual([{ written: failed, audited: failed }]);
    // What needs no room is served.
    expect((await operator().get(name(0))).status).toBe(200);
    expect((await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/base"] })).status).toBe(200);
    await admin.query("ALTER TABLE secret_versions SET TABLESPACE pg_default");
    expect((await operator().put(name(failed)).send({ value: big() })).status).toBe(201);
    await untilEverythingWorks(broker, job);
    await admin.query("DROP TABLESPACE small");
  },
  60_000,
);

test.skipIf(small === undefined)(
  "a disk without room for the audit lets no token and no write through, and with room again they go on",
  async () => {
    const path = small?.path ?? "";
    const factory = `/v1/factories/${broker.factory.name}`;
    const operator = () => broker.service.as(broker.service.operatorToken);
    await admin.query(`CREATE TABLESPACE small LOCATION '${path}'`);
    await admin.query("ALTER TABLE audit_events SET TABLESPACE small");
    await admin.query("CREATE TABLE filler (bytes text) TABLESPACE small");
    // Until not even a page is left, and then what is left of the last page of the audit.
    for (const size of [100_000, 100]) {
      const row = `INSERT INTO filler SELECT repeat(md5(n::text), ${size / 32}) FROM generate_series(1, 10) AS n`;
      while (
        await admin.query(`ALTER TABLE filler ALTER bytes SET STORAGE EXTERNAL; ${row}`).then(
          () => true,
          () => false,
        )
      );
    }
    const count = async () => (await admin.query("SELECT count(*)::int AS n FROM audit_events")).rows[0]?.n;
    const statuses = new Set<number>();
    let before: number;
    do {
      before = await count();
      statuses.add((await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/base"] })).status);
      // Its event is shorter, and may have room where one of a token has none.
      await operator().put(`${factory}/secrets/last-audit`).send({ value: secretValue() });
    } while ((await count()) > before);
    expect(statuses).toEqual(new Set([200, 503]));
    const reply = await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/base"] });
    expect([reply.status, reply.headers["retry-after"]]).toEqual([503, expect.stringMatching(/^\d+$/)]);
    expect((await operator().put(`${factory}/secrets/unaudited`).send({ value: secretValue() })).status).toBe(503);
    expect((await operator().get(`${factory}/secrets/unaudited`)).status).toBe(404);
    await admin.query("DROP TABLE filler");
    expect((await operator().put(`${factory}/secrets/unaudited`).send({ value: secretValue() })).status).toBe(201);
    await untilEverythingWorks(broker, job);
    await admin.query("ALTER TABLE audit_events SET TABLESPACE pg_default");
    await admin.query("DROP TABLESPACE small");
  },
  60_000,
);
