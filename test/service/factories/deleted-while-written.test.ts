import { afterAll, beforeAll, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { roundsOf } from "../../support/rounds.js";
import { startTestService, type TestService } from "../../support/test-service.js";

const rounds = roundsOf(2, 5);
const writers = 8;
let service: TestService;
let replica: TestService;
beforeAll(async () => {
  service = await startTestService();
  replica = await startTestService({}, service);
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

it("is deleted at once however many write its secrets, and they are told that it is gone", async () => {
  for (let round = 0; round < rounds; round += 1) {
    const factory = await service.createFactory();
    const path = `/v1/factories/${factory.name}`;
    const loops = Array.from({ length: writers }, (_, writer) =>
      writeUntilRefused(writer % 2 === 0 ? service : replica, path, writer),
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    const deleted = await service.as(service.operatorToken).delete(path);
    expect([deleted.status, deleted.body]).toEqual([204, {}]);
    const refusals = await Promise.all(loops);
    expect(refusals).toEqual(Array.from({ length: writers }, () => 404));
    expect((await service.as(service.operatorToken).put(`${path}/secrets/late`).send({ value: "x" })).status).toBe(404);
    expect(await leftOf(factory.id)).toEqual({ secrets: 0, keys: 0 });
  }
});

/** Writes one secret of its own, one of all and new ones, until it is refused, and gives the status of the refusal. */
async function writeUntilRefused(through: TestService, path: string, writer: number): Promise<number> {
  for (let turn = 0; ; turn += 1) {
    const name = [`own${writer}`, "of-all", `new-${writer}-${turn}`][turn % 3] ?? "";
    const reply = await through.as(through.operatorToken).put(`${path}/secrets/${name}`).send({ value: secretValue() });
    if (reply.status !== 200 && reply.status !== 201) return reply.status;
  }
}

async function leftOf(factoryId: string): Promise<{ secrets: number; keys: number } | undefined> {
  const { rows } = await service.database.pool.query<{ secrets: number; keys: number }>(
    `SELECT (SELECT count(*)::int FROM secrets WHERE factory_id = $1) AS secrets,
            (SELECT count(*)::int FROM data_keys WHERE factory_id = $1) AS keys`,
    [factoryId],
  );
  return rows[0];
}
