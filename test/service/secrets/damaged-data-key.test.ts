import { randomBytes, randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type KeyedService, startKeyedService } from "../../support/keys/keyed-service.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { openStored } from "./open-stored.js";

let keyed: KeyedService;
beforeAll(async () => {
  keyed = await startKeyedService();
});
afterAll(() => keyed.service.close());

// Has read no data key before they were damaged.
let replica: TestService;
afterEach(() => replica.close());

type Factory = { id: string; name: string };

const registry = "100000000000.dkr.ecr.eu-central-1.amazonaws.com";
const config = `- type: aws\n  region: eu-central-1\n  url: ${registry}\n  aws_creds_secret_name: a\n`;
const operator = (on = replica) => on.as(on.operatorToken);
const path = ({ name }: Factory) => `/v1/factories/${name}`;
const put = (factory: Factory, value = secretValue(), on = replica) =>
  operator(on)
    .put(`${path(factory)}/secrets/a`)
    .send({ value });
const verify = (factory: Factory, value: string) =>
  operator()
    .post(`${path(factory)}/secrets/a:verify`)
    .send({ value });
const begin = async (factory: Factory, perSecond: number) =>
  (await keyed.post(`${path(factory)}/data-keys:rotate`, { perSecond }).expect(202)).body;
const rotate = async (factory: Factory) => keyed.ended(await begin(factory, 10_000));
const remove = (factory: Factory, purpose: string) =>
  keyed.service.database.pool.query("DELETE FROM data_keys WHERE factory_id = $1 AND purpose = $2", [
    factory.id,
    purpose,
  ]);
const damage = (factory: Factory, purposes: readonly string[]) =>
  keyed.service.database.pool.query(
    "UPDATE data_keys SET wrapped = $3 WHERE factory_id = $1 AND purpose = ANY($2::text[]) AND state = 'active'",
    [factory.id, purposes, randomBytes(61)],
  );

/** A factory whose stored data keys of these purposes do not open, with one secret from before. */
async function damagedFactory(...purposes: string[]): Promise<{ factory: Factory; value: string }> {
  const [factory, value] = [await keyed.service.createFactory(), secretValue()];
  await put(factory, value, keyed.service).expect(201);
  await damage(factory, purposes);
  if (purposes.includes("aws-keys"))
    await keyed.service.database.pool.query(
      "INSERT INTO data_keys (id, factory_id, purpose, key_encryption_key_id, wrapped) VALUES ($1, $2, 'aws-keys', $3, $4)",
      [randomUUID(), factory.id, keyed.first, randomBytes(61)],
    );
  replica = await startTestService(keyed.environment, keyed.service);
  return { factory, value };
}

describe("a data key that does not open", () => {
  it("is in the way of nothing that does not need it", async () => {
    const { factory, value } = await damagedFactory("aws-keys");
    expect((await verify(factory, value).expect(200)).body).toMatchObject({ matches: true });
    const next = secretValue();
    await put(factory, next).expect(200);
    expect((await openStored(keyed.service, { factory, name: "a" }))?.toString()).toBe(next);
    expect((await openStored(keyed.service, { factory, name: "a", version: 1 }))?.toString()).toBe(value);
  });

  it("is named by a write that needs it, and a new one mends the factory", async () => {
    const { factory, value } = await damagedFactory("secret");
    expect(expectProblem(await put(factory), "key-unavailable").detail).toMatch(/data-keys:rotate$/);
    expect((await verify(factory, value).expect(200)).body).toMatchObject({ matches: true });
    const failed = await rotate(factory);
    expect(failed).toMatchObject({ state: "failed", problem: expect.stringContaining("a version 1") });
    for (let n = 0; n < 2; n += 1) await put(factory, secretValue(), keyed.service).expect(200);
    await operator()
      .delete(`${path(factory)}/secrets/a/versions/1`)
      .expect(204);
    expect(await rotate(factory)).toMatchObject({ state: "done" });
  });

  it("is named by an opening too, for setting the secret again would not work", async () => {
    const { factory } = await damagedFactory("secret");
    await operator()
      .put(`${path(factory)}/config`)
      .set("Content-Type", "application/yaml")
      .send(config)
      .expect(201);
    const reply = await operator()
      .post(`${path(factory)}/registry-tokens`)
      .send({ registry });
    expect(expectProblem(reply, "key-unavailable").detail).toMatch(/data-keys:rotate$/);
    const { body } = await operator().get(`${path(factory)}/audit?action=secret.open-failed`);
    expect(body.items).toMatchObject([{ outcome: "failed", secret: "a", secretVersion: 1 }]);
  });

  it("and that a rotation has made ends it, and is replaced by the next", async () => {
    const { factory } = await damagedFactory();
    for (let n = 0; n < 3; n += 1) await put(factory, secretValue(), keyed.service).expect(200);
    const task = await begin(factory, 1);
    const done = async () => (await keyed.get(`/v1/key-tasks/${task.id}`)).body.done;
    await expect.poll(done, { interval: 20 }).toBe(1);
    await damage(factory, ["secret"]);
    await keyed.service.database.pool.query("SELECT pg_notify('factory_secrets_data_keys', $1)", [factory.id]);
    expect(await keyed.ended(task)).toMatchObject({
      state: "failed",
      problem: expect.stringContaining("seals this factory's values does not open"),
    });
    expect(await rotate(factory)).toMatchObject({ state: "failed", problem: expect.stringContaining("a version 1") });
    await put(factory, secretValue(), keyed.service).expect(200);
  });

  it("and that fingerprints are made with is named by writes and by questions", async () => {
    const { factory, value } = await damagedFactory("fingerprint");
    expect(expectProblem(await put(factory), "key-unavailable").detail).toMatch(/fingerprints does not open/);
    expect(expectProblem(await verify(factory, value), "key-unavailable").detail).toMatch(/fingerprints/);
    expect((await openStored(keyed.service, { factory, name: "a" }))?.toString()).toBe(value);
    await operator()
      .delete(`${path(factory)}/secrets/a`)
      .expect(204);
  });
});

describe("a data key that is not there", () => {
  it("of the fingerprints is in the way of what needs it only: values are opened, and sealed anew", async () => {
    const { factory, value } = await damagedFactory();
    await remove(factory, "fingerprint");
    expect(expectProblem(await put(factory), "key-unavailable").detail).toContain("docs/keys.md");
    expect(expectProblem(await verify(factory, value), "key-unavailable").detail).toContain("docs/keys.md");
    expect((await openStored(keyed.service, { factory, name: "a" }))?.toString()).toBe(value);
    expect(await rotate(factory)).toMatchObject({ state: "done", done: 1 });
    expect((await openStored(keyed.service, { factory, name: "a" }))?.toString()).toBe(value);
    // The rotation has made one.
    await put(factory, value).expect(200);
    await operator()
      .delete(`${path(factory)}/secrets/a`)
      .expect(204);
  });

  it("that seals values is named by a write, and a new one is made", async () => {
    const { factory } = await damagedFactory();
    await operator()
      .delete(`${path(factory)}/secrets/a?purge=true`)
      .expect(204);
    await remove(factory, "secret");
    expect(expectProblem(await put(factory), "key-unavailable").detail).toMatch(/data-keys:rotate$/);
    expect(await rotate(factory)).toMatchObject({ state: "done" });
    await put(factory).expect(201);
  });
});
