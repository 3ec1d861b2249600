import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { resealWork } from "../../../src/keys/work/reseal/reseal.js";
import { placeDataKey } from "../../../src/keys/work/reseal/store.js";
import { FactoryKeys } from "../../../src/secrets/factory-keys.js";
import { type KeyedService, startKeyedService } from "../../support/keys/keyed-service.js";
import { openEverything } from "../../support/keys/open-everything.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let keyed: KeyedService;
let replica: TestService;
beforeAll(async () => {
  keyed = await startKeyedService();
  replica = await startTestService(keyed.environment, keyed.service);
});
afterAll(async () => {
  await replica.close();
  await keyed.service.close();
});

const rotate = (name: string, perSecond = 10_000) =>
  keyed.post(`/v1/factories/${name}/data-keys:rotate`, { perSecond });
const put = (name: string, secret: string, on = keyed.service) =>
  on
    .as(on.operatorToken)
    .put(`/v1/factories/${name}/secrets/${secret}`)
    .send({ value: secretValue(secret) });
const remove = (path: string) => keyed.service.as(keyed.service.operatorToken).delete(path);
const stored = async () => openEverything(keyed.service.database, await keyed.ring());

/** Only what is of this factory. */
const valuesOf = (values: Map<string, string>, name: string) =>
  new Map([...values].filter(([place]) => place.startsWith(`${name}/`)));

async function fingerprints(factoryId: string): Promise<unknown[]> {
  const sql = `SELECT v.secret_id, v.version, v.fingerprint FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
    WHERE s.factory_id = $1 ORDER BY 1, 2`;
  return (await keyed.service.database.pool.query(sql, [factoryId])).rows;
}

describe("a new data key", () => {
  it("seals every version anew, deleted secrets too, moves destroyed ones, and the old key is gone", async () => {
    const factory = await keyed.service.createFactory("whole");
    const secrets = `/v1/factories/whole/secrets`;
    for (const secret of ["a", "a", "a", "b", "gone"]) await put("whole", secret);
    await remove(`${secrets}/a/versions/2?force=true`).expect(204);
    await remove(`${secrets}/gone`).expect(204);
    const [before, fingerprintsBefore] = [await stored(), await fingerprints(factory.id)];
    const { body: task } = await rotate("whole").expect(202);
    expect(task).toMatchObject({ kind: "reseal", factoryId: factory.id });
    expect(await keyed.ended(task)).toMatchObject({ state: "done", done: 5 });
    const after = await stored();
    expect(valuesOf(after.values, "whole")).toEqual(valuesOf(before.values, "whole"));
    expect(valuesOf(after.values, "whole").size).toBe(4);
    expect(await fingerprints(factory.id)).toEqual(fingerprintsBefore);
    const [oldKeys, newKeys] = [before.dataKeys.get(factory.id), after.dataKeys.get(factory.id)];
    expect(newKeys).toHaveLength(1);
    expect(newKeys).not.toEqual(oldKeys);
    await keyed.post(`${secrets}/gone:undelete`).expect(200);
    const events = (await keyed.events()).filter((event) => String(event.action).startsWith("data-key."));
    expect(events).toMatchObject([
      { action: "data-key.replaced", dataKeyId: newKeys?.[0], factory: { name: "whole" }, actor: { kind: "operator" } },
      { action: "data-key.resealed", count: 5, factory: { name: "whole" }, actor: { kind: "service" } },
    ]);
  });

  it("of a factory without secrets is a matter of a moment", async () => {
    const factory = await keyed.service.createFactory("empty");
    const { body: task } = await rotate("empty").expect(202);
    expect(await keyed.ended(task)).toMatchObject({ state: "done", done: 0 });
    expect((await stored()).dataKeys.get(factory.id)).toHaveLength(1);
    await put("empty", "first").expect(201);
  });

  it("comes while two replicas write: nothing is lost, refused or doubled", async () => {
    await keyed.service.createFactory("busy");
    const names = Array.from({ length: 12 }, (_, n) => `s${n}`);
    const acknowledged = new Map<string, string>();
    const write = async (name: string, on: TestService) => {
      const value = secretValue(name);
      const reply = await on.as(on.operatorToken).put(`/v1/factories/busy/secrets/${name}`).send({ value });
      expect([200, 201]).toContain(reply.status);
      acknowledged.set(`busy/${name}/${reply.body.version}`, value);
    };
    for (const name of names) await write(name, keyed.service);
    let running = true;
    const writers = names.flatMap((name, n) => [
      (async () => {
        const on = n % 2 === 0 ? keyed.service : replica;
        while (running) await write(name, on);
      })(),
    ]);
    for (let round = 0; round < 3; round += 1) {
      const { body: task } = await rotate("busy").expect(202);
      expect(await keyed.ended(task)).toMatchObject({ state: "done" });
    }
    running = false;
    await Promise.all(writers);
    const { values } = await stored();
    const kept = valuesOf(values, "busy");
    expect(kept.size).toBeGreaterThan(names.length);
    for (const [place, value] of kept) expect(acknowledged.get(place)).toBe(value);
  });

  it("is not made twice: what was begun is taken up, also when it ended in failure", async () => {
    const factory = await keyed.service.createFactory("damaged");
    for (const secret of ["a", "b"]) await put("damaged", secret).expect(201);
    await keyed.service.database.pool.query(
      `UPDATE secret_versions SET ciphertext = $2
       WHERE secret_id = (SELECT id FROM secrets WHERE factory_id = $1 AND name = 'a')`,
      [factory.id, randomBytes(80)],
    );
    const { body: task } = await rotate("damaged").expect(202);
    const failed = await keyed.ended(task);
    expect(failed).toMatchObject({ state: "failed", problem: expect.stringContaining("a version 1") });
    // What could be was sealed anew, and serves.
    await put("damaged", "b").expect(200);
    for (let n = 0; n < 2; n += 1) await put("damaged", "a").expect(200);
    await remove("/v1/factories/damaged/secrets/a/versions/1").expect(204);
    const { body: again } = await rotate("damaged").expect(202);
    expect(await keyed.ended(again)).toMatchObject({ state: "done" });
    expect((await stored()).dataKeys.get(factory.id)).toHaveLength(1);
    const replaced = (await keyed.events()).filter(
      (event) => event.action === "data-key.replaced" && JSON.stringify(event.factory).includes("damaged"),
    );
    expect(replaced).toHaveLength(1);
  });

  it("ends in failure where secrets of one name are broken, says which is deleted, and forgets what has gone", async () => {
    const factory = await keyed.service.createFactory("twice");
    const dup = "/v1/factories/twice/secrets/dup";
    await put("twice", "dup").expect(201);
    await remove(dup).expect(204);
    await put("twice", "dup").expect(201);
    await keyed.service.database.pool.query(
      `UPDATE secret_versions SET ciphertext = set_byte(ciphertext, 40, get_byte(ciphertext, 40) # 1)
       WHERE secret_id IN (SELECT id FROM secrets WHERE factory_id = $1)`,
      [factory.id],
    );
    const failed = await keyed.ended((await rotate("twice").expect(202)).body);
    expect(failed).toMatchObject({ state: "failed", problem: expect.stringMatching(/^2 of them do not open/) });
    const names = String(failed.problem).split(": ")[1]?.split(", ").sort();
    expect(names).toEqual(["dup version 1", "dup version 1 (deleted)"]);
    await remove(`${dup}?purge=true`).expect(204);
    const { problem } = await keyed.ended((await rotate("twice").expect(202)).body);
    expect(problem).toBe("1 of them do not open and stay as they are: dup version 1 (deleted)");
  });

  it("names at its end only what is broken then, whatever was mended while it ran", async () => {
    const factory = await keyed.service.createFactory("mended");
    for (const secret of ["a", "b"]) await put("mended", secret).expect(201);
    const { prisma, pool } = keyed.service.database;
    await pool.query(
      "UPDATE secret_versions SET ciphertext = $2 WHERE secret_id IN (SELECT id FROM secrets WHERE factory_id = $1)",
      [factory.id, randomBytes(80)],
    );
    const keys = await keyed.ring();
    await prisma.$transaction(async (transaction) =>
      placeDataKey(transaction, factory.id, await keys.createDataKey(factory.id, "secret")),
    );
    const work = resealWork({ prisma, factoryKeys: new FactoryKeys({ prisma, keys }) }, factory.id);
    expect((await work.batch(50)).broken).toHaveLength(2);
    await remove("/v1/factories/mended/secrets/a?purge=true").expect(204);
    expect(await work.batch(50)).toEqual({ moved: 0, isLast: true, broken: ["b version 1"] });
  });

  it("is for a factory that there is", async () => {
    expectProblem(await rotate("no-such-factory"), "not-found");
  });

  it("is ended by the deletion of its factory", async () => {
    await keyed.service.createFactory("deleted");
    for (let n = 0; n < 5; n += 1) await put("deleted", `s${n}`).expect(201);
    const { body: task } = await rotate("deleted", 2).expect(202);
    await remove("/v1/factories/deleted").expect(204);
    expect(await keyed.ended(task)).toMatchObject({ state: "done" });
  });
});
