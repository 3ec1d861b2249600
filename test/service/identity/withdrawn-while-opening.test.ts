import { afterAll, beforeAll, expect, it } from "vitest";
import { roundsOf } from "../../support/rounds.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";

const rounds = roundsOf(3, 6);
const openers = 24;
let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService();
});
afterAll(() => service.close());

async function liveJobsOfWithdrawnMakers(): Promise<number> {
  const { rows } = await service.database.pool.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM credentials job JOIN credentials maker ON maker.id = job.parent_id
     WHERE maker.revoked_at IS NOT NULL AND job.revoked_at IS NULL`,
  );
  return rows[0]?.count ?? -1;
}

it("leaves no job alive that was opened while its maker was withdrawn", async () => {
  const factory = await service.createFactory();
  const path = `/v1/factories/${factory.name}`;
  let opened = 0;
  for (let round = 0; round < rounds; round += 1) {
    const maker = await service.createApiToken(factory.name, ["jobs:create"]);
    const open = () => service.as(maker.token).post(`${path}/jobs`).send({ name: "test job" });
    // In the midst of them: some come before the withdrawal, some during, some after.
    const first = Array.from({ length: openers / 2 }, async () => (await open()).status);
    await Promise.race(first);
    const withdrawal = service.as(service.operatorToken).delete(`${path}/api-tokens/${maker.id}`);
    const withdrawn = withdrawal.then(({ status }) => status);
    const second = Array.from({ length: openers / 2 }, async () => (await open()).status);
    const statuses = await Promise.all([...first, ...second]);
    expect(await withdrawn).toBe(204);
    expect(statuses.filter((status) => status !== 201 && status !== 401)).toEqual([]);
    opened += statuses.filter((status) => status === 201).length;
    expect(await liveJobsOfWithdrawnMakers()).toBe(0);
  }
  expect(opened).toBeGreaterThan(0);
});

it("waits for an opener that holds the maker's row, and ends the job that it opens", async () => {
  const factory = await service.createFactory();
  const maker = await service.createApiToken(factory.name, ["jobs:create"]);
  const job = await service.as(maker.token).post(`/v1/factories/${factory.name}/jobs`).send({ name: "a model" });
  const opener = await service.database.pool.connect();
  try {
    await opener.query("BEGIN");
    await opener.query("SELECT FROM credentials WHERE id = $1 FOR SHARE", [maker.id]);
    const withdrawal = service.as(service.operatorToken).delete(`/v1/factories/${factory.name}/api-tokens/${maker.id}`);
    const withdrawn = withdrawal.then(({ status }) => status);
    await waitingForALock();
    await opener.query(
      `INSERT INTO credentials (id, kind, factory_id, parent_id, name, token_hash, created_by_kind, created_by_id, created_by_name, expires_at)
       SELECT gen_random_uuid(), kind, factory_id, parent_id, 'opened meanwhile', sha256('opened meanwhile'), created_by_kind, created_by_id, created_by_name, expires_at
       FROM credentials WHERE id = $1`,
      [job.body.id],
    );
    await opener.query("COMMIT");
    expect(await withdrawn).toBe(204);
  } finally {
    opener.release();
  }
  expect(await liveJobsOfWithdrawnMakers()).toBe(0);
});

async function waitingForALock(): Promise<void> {
  await expect
    .poll(async () => {
      const { rows } = await service.database.pool.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return rows.length;
    })
    .toBe(1);
}
