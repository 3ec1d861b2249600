import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { clockDifferenceMs, databaseNow } from "../../../src/core/database-clock.js";
import { measureDatabaseClock } from "../../../src/db/measure-clock.js";
import { createLogger } from "../../../src/observability/log.js";
import { sweep } from "../../../src/service/sweep.js";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { watched } from "../../support/leak-watch.js";
import { metricsNow } from "../../support/metrics-now.js";

const password = watched("not-a-real-secret-wrong-clock-2a6e");
const demand = { registry: "ghcr.io", repositories: ["acme/app"] };
const dayMs = 24 * 3_600_000;

let broker: BrokeredFactory;
beforeAll(async () => {
  broker = await startBrokeredFactory(({ docker }) => {
    const users = { first: { password, rights: { "acme/app": ["pull"] } } } as const;
    docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 });
  });
  await broker.putSecret("ghcr_creds", `first:${password}`);
  await broker.putConfig("container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n");
  await measureDatabaseClock(broker.service.database.pool);
});
afterAll(() => broker.close());
afterEach(() => {
  vi.useRealTimers();
});

/** Sets the clock of this process, which is that of the service; that of Postgres stays right. */
const setClock = (aheadMs: number): void => {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + aheadMs });
};

const query = async <Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> =>
  (await broker.service.database.pool.query<Row>(sql, values)).rows;
const operator = () => broker.service.as(broker.service.operatorToken);
const path = () => `/v1/factories/${broker.factory.name}`;

describe.each([
  ["366 days ahead", 366 * dayMs],
  ["an hour behind", -3_600_000],
])("a replica whose clock is %s", (_, aheadMs) => {
  it("knows the time of the database, and is not ready", async () => {
    setClock(aheadMs);
    const [row] = await query<{ now: Date }>("SELECT now()");
    expect(Math.abs(databaseNow().getTime() - (row?.now.getTime() ?? 0))).toBeLessThan(2_000);
    expect(Math.abs(clockDifferenceMs() - aheadMs)).toBeLessThan(2_000);
    const ready = await broker.service.as(undefined).get("/readyz");
    expect(ready.status).toBe(503);
    expect(ready.body.checks).toContainEqual({
      ...{ name: "clock", ok: false },
      reason: expect.stringMatching(/clock of this machine .* database's/),
    });
    const text = await metricsNow(broker.service);
    const shown = Number(/^factory_secrets_clock_difference_seconds (\S+)$/m.exec(text)?.[1]);
    expect(Math.abs(shown * 1_000 - aheadMs)).toBeLessThan(2_000);
    vi.useRealTimers();
    expect((await broker.service.as(undefined).get("/readyz")).status).toBe(200);
  });

  it("sweeps nothing, and says so", async () => {
    await query("UPDATE credentials SET expires_at = now() - interval '1 year' WHERE id = $1", [
      (await broker.openJob()).id,
    ]);
    const before = await query("SELECT id FROM credentials");
    setClock(aheadMs);
    const lines: string[] = [];
    const log = createLogger("info", { write: (line: string) => void lines.push(line) });
    const rotated = vi.fn();
    const settings = { undeleteDays: 30 };
    await sweep({ app: { rotateSigningKeysIfDue: rotated }, settings, database: broker.service.database, log });
    expect(lines.join("")).toContain("nothing was swept: the clock here is wrong");
    expect(rotated).not.toHaveBeenCalled();
    expect(await query("SELECT id FROM credentials")).toHaveLength(before.length);
  });

  it("destroys no secret that can still come back, and gives a deletion the database's time", async () => {
    await broker.putSecret("passing", "not-a-real-secret-passing");
    setClock(aheadMs);
    await operator().delete(`${path()}/secrets/passing`).expect(204);
    const [deleted] = await query<{ seconds: number }>(
      "SELECT abs(extract(epoch FROM now() - deleted_at))::float8 AS seconds FROM secrets WHERE name = 'passing' AND deleted_at IS NOT NULL",
    );
    expect(deleted?.seconds).toBeLessThan(5);
    await operator().post(`${path()}/secrets/passing:undelete`).send({}).expect(200);
    vi.useRealTimers();
    await operator().delete(`${path()}/secrets/passing?purge=true`).expect(204);
  });

  it("opens a job for as long as was asked for, and gives it no token after its end", async () => {
    // The stand-in registry is of this process, and its tokens would be by the wrong clock.
    expect((await broker.ask((await broker.openJob()).token, demand)).status).toBe(200);
    setClock(aheadMs);
    const { id, token } = await broker.openJob({ ttlSeconds: 60 });
    const [job] = await query<{ seconds: number; age: number }>(
      `SELECT extract(epoch FROM expires_at - now())::float8 AS seconds,
              extract(epoch FROM now() - created_at)::float8 AS age FROM credentials WHERE id = $1`,
      [id],
    );
    expect(job?.seconds).toBeGreaterThan(50);
    expect(job?.seconds).toBeLessThanOrEqual(61);
    expect(Math.abs(job?.age ?? 60)).toBeLessThan(5);
    expect((await broker.ask(token, demand)).status).toBe(200);
    await query("UPDATE credentials SET expires_at = now() WHERE id = $1", [id]);
    expect((await broker.ask(token, demand)).status).toBe(401);
  });

  it("writes no time of its own into any table", async () => {
    setClock(aheadMs);
    await broker.putSecret("timed", "not-a-real-secret-timed");
    const made = await broker.service.createFactory();
    await operator().put(`/v1/factories/${made.name}/secrets/first`).send({ value: "not-a-real-secret" }).expect(201);
    await broker.service.createApiToken(broker.factory.name, ["audit:read"]);
    await operator()
      .post(`${path()}/oauth-clients`)
      .send({ name: "ci", permissions: ["audit:read"] })
      .expect(201);
    const columns = await query<{ place: string; name: string }>(
      `SELECT format('%I', table_name) AS place, format('%I', column_name) AS name FROM information_schema.columns
       WHERE table_schema = current_schema() AND data_type = 'timestamp with time zone'
         AND column_name ~ '^(at|created_at|updated_at|seen_at|current_since|approved_at|last_used_at|revoked_at)$'`,
    );
    const wrong: string[] = [];
    for (const { place, name } of columns) {
      const rows = await query(
        `SELECT FROM ${place} WHERE ${name} NOT BETWEEN now() - interval '30 minutes' AND now() + interval '1 minute' LIMIT 1`,
      );
      if (rows.length > 0) wrong.push(`${place}.${name}`);
    }
    expect(columns.length).toBeGreaterThan(15);
    expect(wrong).toEqual([]);
  });
});
