import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KeyedService, newKey, startKeyedService } from "../../support/keys/keyed-service.js";
import { openEverything } from "../../support/keys/open-everything.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService();
  for (const name of ["one", "two"]) {
    await keyed.service.createFactory(name);
    const secret = `/v1/factories/${name}/secrets/a`;
    await keyed.service.as(keyed.service.operatorToken).put(secret).send({ value: secretValue() }).expect(201);
  }
});
afterAll(() => keyed.service.close());

// In the order of a key's life: each step needs the one before.
describe("a key of the settings", () => {
  it("is listed as new, beside the active one and what that wraps", async () => {
    const { first, second } = keyed;
    const keys = await keyed.keys();
    expect(keys.get(first)).toMatchObject({ state: "active", source: "env:FACTORY_SECRETS_KEY", held: true });
    expect(keys.get(first)?.wraps).toMatchObject({ dataKeys: 4 });
    expect(keys.get(second)).toMatchObject({ state: "new", source: "env:SECOND_KEY", held: true, replicasWithout: 0 });
    expect((await keyed.get(`/v1/keys/${second}`).expect(200)).body).toEqual(keys.get(second));
  });

  it("is not activated, rewrapped or retired before it is added", async () => {
    const path = `/v1/keys/${keyed.second}`;
    expect(expectProblem(await keyed.post(`${path}:activate`), "key-unsuitable").detail).toContain(
      "npx factory-secrets keys add",
    );
    expectProblem(await keyed.post(`${path}:rewrap`), "not-found");
    expectProblem(await keyed.post(`${path}:retire`), "not-found");
  });

  it("is added once, by its id or its address; others are not", async () => {
    const unknown = newKey().id;
    expect(expectProblem(await keyed.post("/v1/keys", { key: unknown }), "not-found").detail).toContain(
      "FACTORY_SECRETS_KEYS",
    );
    const added = await keyed.post("/v1/keys", { key: "env:SECOND_KEY" }).expect(201);
    expect(added.body).toMatchObject({ id: keyed.second, state: "known" });
    expectProblem(await keyed.post("/v1/keys", { key: keyed.second }), "already-exists");
  });

  it("is not activated while a running replica does not hold it, unless forced", async () => {
    const replica = await startTestService({}, keyed.service);
    await expect.poll(async () => (await keyed.keys()).get(keyed.second)).toMatchObject({ replicasWithout: 1 });
    const activate = `/v1/keys/${keyed.second}:activate`;
    expect(expectProblem(await keyed.post(activate), "key-unsuitable").detail).toContain("1 running replica does not");
    await keyed.post(`${activate}?force=true`).expect(200);
    // What the other replica cannot wrap any more it says, and it asks for no requests.
    const made = await replica.as(replica.operatorToken).post("/v1/factories").send({ name: "three" });
    expectProblem(made, "key-unavailable");
    expect((await replica.as(undefined).get("/readyz")).status).toBe(503);
    await keyed.post(`/v1/keys/${keyed.first}:activate`).expect(200);
    expect((await replica.as(undefined).get("/readyz")).status).toBe(200);
    await replica.close();
    await expect.poll(async () => (await keyed.keys()).get(keyed.second)).toMatchObject({ replicasWithout: 0 });
  });

  it("wraps what is new on every replica as soon as it is active, and again activated changes nothing", async () => {
    const replica = await startTestService(keyed.environment, keyed.service);
    await keyed.post(`/v1/keys/${keyed.second}:activate`).expect(200);
    await replica.createFactory("three");
    expect((await keyed.keys()).get(keyed.second)).toMatchObject({ state: "active", wraps: { dataKeys: 2 } });
    await keyed.post(`/v1/keys/${keyed.second}:activate`).expect(200);
    await replica.close();
    const states = [...(await keyed.keys()).values()].map(({ state }) => state);
    expect(states).toEqual(["known", "active"]);
  });

  it("is not retired while it is active; the other is not while it wraps anything, and it is said what", async () => {
    expectProblem(await keyed.post(`/v1/keys/${keyed.second}:retire`), "key-unsuitable");
    const { detail } = expectProblem(await keyed.post(`/v1/keys/${keyed.first}:retire`), "key-in-use");
    expect(detail).toMatch(/still wraps 4 data keys.*Move them first: npx factory-secrets keys rewrap kek-/);
    expectProblem(await keyed.post(`/v1/keys/${keyed.second}:rewrap`), "key-unsuitable");
  });

  it("takes over everything by a rewrap, of which each key opens as before", async () => {
    const before = await openEverything(keyed.service.database, await keyed.ring());
    const { body: task } = await keyed.post(`/v1/keys/${keyed.first}:rewrap`, { perSecond: 1_000 }).expect(202);
    expect(task).toMatchObject({ kind: "rewrap", keyId: keyed.first, state: "running" });
    expect(await keyed.ended(task)).toMatchObject({ state: "done", done: before.wrapped.get(keyed.first) });
    const after = await openEverything(keyed.service.database, await keyed.ring());
    expect(after.values).toEqual(before.values);
    expect(after.dataKeys).toEqual(before.dataKeys);
    expect([...after.wrapped.keys()]).toEqual([keyed.second]);
    expect((await keyed.get("/v1/key-tasks").expect(200)).body.items[0]).toMatchObject({ id: task.id, state: "done" });
  });

  it("is retired then, wraps nothing ever after, and does not come back", async () => {
    await keyed.post(`/v1/keys/${keyed.first}:retire`).expect(200);
    await keyed.post(`/v1/keys/${keyed.first}:retire`).expect(200);
    expectProblem(await keyed.post(`/v1/keys/${keyed.first}:activate`), "key-unsuitable");
    expectProblem(await keyed.post("/v1/keys", { key: keyed.first }), "key-unsuitable");
    const insert = `INSERT INTO data_keys (id, factory_id, purpose, key_encryption_key_id, wrapped)
      SELECT gen_random_uuid(), id, 'secret', $1, 'x' FROM factories LIMIT 1`;
    await expect(keyed.service.database.pool.query(insert, [keyed.first])).rejects.toMatchObject({ code: "40001" });
  });

  it("leaves an event for each step, with who did it", async () => {
    const actions = (await keyed.events()).map(({ action, keyId, count }) => [action, keyId, count]);
    const { first, second } = keyed;
    expect(actions).toEqual([
      ["key.added", second, undefined],
      ["key.activated", second, undefined],
      ["key.activated", first, undefined],
      ["key.activated", second, undefined],
      ["key.rewrap-started", first, undefined],
      ["key.rewrapped", first, expect.any(Number)],
      ["key.retired", first, undefined],
    ]);
    const [added] = await keyed.events();
    expect(added).toMatchObject({
      actor: { kind: "operator" },
      requestId: expect.any(String),
      source: "env:SECOND_KEY",
    });
  });

  it("may leave the settings then: a replica with the other alone starts", async () => {
    const { SECOND_KEY: key = "" } = keyed.environment;
    const replica = await startTestService({}, { databaseUrl: keyed.service.databaseUrl, key });
    await replica.createFactory();
    await replica.close();
  });
});
