import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { openStored } from "./open-stored.js";
import { newLife } from "./secret-life.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

const storedValue = async (factory: { id: string; name: string }, version?: number) =>
  (await openStored(service, { factory, name: "a", ...(version !== undefined && { version }) }))?.toString();

describe("the list of versions", () => {
  it("shows who made which version when, and a fingerprint that only equal values share", async () => {
    const life = await newLife(service, 0);
    const value = secretValue();
    await life.put(value);
    await life.put();
    await life.put(value);
    const { body, headers } = await life.get("/versions").expect(200);
    expect(headers.etag).toBe('"3"');
    expect(body.items.map(({ state }: { state: string }) => state)).toEqual(["current", "previous", "superseded"]);
    const [third, second, first] = body.items;
    expect(third).toMatchObject({ version: 3, createdBy: "test operator", createdAt: expect.any(String) });
    expect(third.fingerprint).toMatch(/^fp-[0-9a-f]{20}$/);
    expect(third.fingerprint).toBe(first.fingerprint);
    expect(third.fingerprint).not.toBe(second.fingerprint);
    expect(second.keptUntil > third.createdAt).toBe(true);
  });

  it("has no fingerprint in common with another secret, so that guesses elsewhere are compared with nothing", async () => {
    const life = await newLife(service, 0);
    const value = secretValue();
    await life.put(value);
    const path = `/v1/factories/${life.factory.name}/secrets/guess`;
    await service.as(service.operatorToken).put(path).send({ value }).expect(201);
    const { body } = await service.as(service.operatorToken).get(`${path}/versions`).expect(200);
    expect(body.items[0].fingerprint).not.toBe((await life.get("/versions")).body.items[0].fingerprint);
  });

  it("has no fingerprint in common with another factory, whatever the value", async () => {
    const value = secretValue();
    const shown = [await newLife(service, 0), await newLife(service, 0)].map(async (life) => {
      await life.put(value);
      return (await life.get("/versions")).body.items[0].fingerprint;
    });
    const [one, other] = await Promise.all(shown);
    expect(one).not.toBe(other);
  });

  it("comes in pages", async () => {
    const life = await newLife(service, 5);
    const first = await life.get("/versions?pageSize=3").expect(200);
    const second = await life.get(`/versions?pageSize=3&pageToken=${first.body.nextPageToken}`).expect(200);
    const numbers = [...first.body.items, ...second.body.items].map(({ version }: { version: number }) => version);
    expect(numbers).toEqual([5, 4, 3, 2, 1]);
    expect(second.body.nextPageToken).toBeUndefined();
  });

  it("of a secret that does not exist is 404", async () => {
    const life = await newLife(service, 0);
    expectProblem(await life.get("/versions"), "not-found");
  });
});

describe("restore", () => {
  it("makes an older version the newest, sealed anew for its own number", async () => {
    const life = await newLife(service, 0);
    const value = secretValue();
    await life.put(value);
    await life.put();
    const { body, headers } = await life.post("/versions/1:restore", { "If-Match": '"2"' }).expect(200);
    expect(body).toEqual({ name: "a", version: 3, warnings: [] });
    expect(headers.etag).toBe('"3"');
    expect(await storedValue(life.factory)).toBe(value);
    expect((await life.get("/versions")).body.items[0]).toMatchObject({
      version: 3,
      state: "current",
      restoredFrom: 1,
    });
    expect((await life.events()).at(-1)).toMatchObject({ action: "secret.written", secretVersion: 3, restoredFrom: 1 });
  });

  it("is a compare-and-set, and changes nothing when it fails", async () => {
    const life = await newLife(service, 2);
    expectProblem(await life.post("/versions/1:restore", { "If-Match": '"1"' }), "precondition-failed");
    expect(await life.states()).toEqual(["2 current", "1 previous"]);
  });

  it("of what is destroyed, or never was, is refused", async () => {
    const life = await newLife(service, 3);
    await life.remove("/versions/1").expect(204);
    expectProblem(await life.post("/versions/1:restore"), "version-unsuitable");
    expectProblem(await life.post("/versions/9:restore"), "not-found");
  });
});

describe("stage, promote, roll back", () => {
  it("changes nothing until it is promoted", async () => {
    const life = await newLife(service, 0);
    const [old, next] = [secretValue(), secretValue()];
    await life.put(old);
    const staged = await life.stage(next).expect(200);
    expect(staged.body.version).toBe(2);
    expect(staged.headers.etag).toBeUndefined();
    expect((await life.get()).headers.etag).toBe('"1"');
    expect(await storedValue(life.factory)).toBe(old);
    const promoted = await life.post("/versions/2:promote", { "If-Match": '"1"' }).expect(200);
    expect(promoted.body).toEqual({ name: "a", version: 2, previousVersion: 1 });
    expect(promoted.headers.etag).toBe('"2"');
    expect(await storedValue(life.factory)).toBe(next);
    expect(await life.states()).toEqual(["2 current", "1 previous"]);
    const { body } = await life.post(":rollback", { "If-Match": '"2"' }).expect(200);
    expect(body).toEqual({ name: "a", version: 1 });
    expect(await storedValue(life.factory)).toBe(old);
    expect(await life.states()).toEqual(["2 staged", "1 current"]);
    const actions = (await life.events()).map(({ action, secretVersion }) => `${action} ${secretVersion}`);
    expect(actions).toEqual(["secret.written 1", "secret.staged 2", "secret.promoted 2", "secret.rolled-back 1"]);
  });

  it("a rollback that is sent twice does not undo itself", async () => {
    const life = await newLife(service, 2);
    await life.post(":rollback").expect(200);
    expectProblem(await life.post(":rollback"), "version-unsuitable");
    expect(await life.states()).toEqual(["2 staged", "1 current"]);
  });

  it("gives the next write a number that was never used", async () => {
    const life = await newLife(service, 2);
    await life.post(":rollback").expect(200);
    expect((await life.put()).body.version).toBe(3);
    expect(await life.states()).toEqual(["3 current", "2 staged", "1 previous"]);
  });

  it("promotes a version once, and only a staged one", async () => {
    const life = await newLife(service, 2);
    await life.stage().expect(200);
    const all = await Promise.all(Array.from({ length: 8 }, () => life.post("/versions/3:promote")));
    expect(all.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 7 }, () => 409)]);
    for (const version of [1, 2, 3])
      expectProblem(await life.post(`/versions/${version}:promote`), "version-unsuitable");
    expectProblem(await life.post("/versions/4:promote"), "not-found");
  });

  it.each([":rollback", "/versions/2:promote"])("%s is a compare-and-set", async (operation) => {
    const life = await newLife(service, 1);
    await life.stage();
    expectProblem(await life.post(operation, { "If-Match": '"7"' }), "precondition-failed");
    expectProblem(await life.post(operation, { "If-None-Match": "*" }), "precondition-failed");
    expect(await life.states()).toEqual(["2 staged", "1 current"]);
  });

  it("carries the note of when the credential ends with the version", async () => {
    const life = await newLife(service, 1);
    const body = { value: secretValue(), expiresAt: "2031-01-01T00:00:00.000Z" };
    await service.as(service.operatorToken).put(life.path).query({ stage: "true" }).send(body).expect(200);
    expect((await life.get()).body.expiresAt).toBeUndefined();
    await life.post("/versions/2:promote").expect(200);
    expect((await life.get()).body.expiresAt).toBe(body.expiresAt);
    await life.post(":rollback").expect(200);
    expect((await life.get()).body.expiresAt).toBeUndefined();
    await life.post("/versions/2:promote").expect(200);
    await life.post("/versions/1:restore").expect(200);
    expect((await life.get()).body.expiresAt).toBeUndefined();
    await life.post(":rollback").expect(200);
    await life.put().expect(200);
    expect((await life.get()).body.expiresAt).toBe(body.expiresAt);
    expect((await life.get("/versions")).body.items[0].expiresAt).toBe(body.expiresAt);
  });

  it("stages no version of a secret that does not exist, and nothing that is the secret's", async () => {
    const life = await newLife(service, 0);
    expectProblem(await life.stage(), "not-found");
    await life.put();
    const agent = service.as(service.operatorToken).put(life.path).query({ stage: "true" });
    expectProblem(await agent.send({ value: secretValue(), description: "x" }), "invalid-request");
    expect(await life.states()).toEqual(["1 current"]);
  });
});

describe("destroying a version", () => {
  it("empties its row for good, and its number stays", async () => {
    const life = await newLife(service, 3);
    await life.remove("/versions/1", { "If-Match": '"3"' }).expect(204);
    const { rows } = await service.database.pool.query(
      `SELECT length(v.ciphertext) + length(v.fingerprint) AS bytes FROM secret_versions v
       JOIN secrets s ON s.id = v.secret_id WHERE s.factory_id = $1 AND v.version = 1`,
      [life.factory.id],
    );
    expect(rows).toEqual([{ bytes: 0 }]);
    const item = (await life.get("/versions")).body.items[2];
    expect(item).toMatchObject({ version: 1, state: "destroyed", destroyedAt: expect.any(String) });
    expect(item.fingerprint).toBeUndefined();
    expect(await storedValue(life.factory, 1)).toBeUndefined();
    expect((await life.events()).at(-1)).toMatchObject({ action: "secret.version-destroyed", secretVersion: 1 });
  });

  it("is refused for the current version, and takes force for the previous one in its grace time", async () => {
    const life = await newLife(service, 2);
    expectProblem(await life.remove("/versions/2?force=true"), "secret-in-use");
    expectProblem(await life.remove("/versions/1"), "secret-in-use");
    await life.remove("/versions/1?force=true").expect(204);
    expectProblem(await life.post(":rollback"), "version-unsuitable");
    expect((await life.events()).at(-1)).toMatchObject({ secretVersion: 1, forced: true });
  });

  it("is a compare-and-set, and knows what does not exist", async () => {
    const life = await newLife(service, 3);
    expectProblem(await life.remove("/versions/1", { "If-Match": '"1"' }), "precondition-failed");
    expectProblem(await life.remove("/versions/4"), "not-found");
    expect(await life.states()).toEqual(["3 current", "2 previous", "1 superseded"]);
  });
});
