import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuditWriter } from "../../../src/audit/record.js";
import type { KeyEncryptionKey } from "../../../src/crypto/key-encryption-key.js";
import { KeyRing } from "../../../src/crypto/key-ring.js";
import { readActiveKey } from "../../../src/crypto/open-key-ring.js";
import { KeyTasks } from "../../../src/keys/tasks/key-tasks.js";
import { rewrapWork } from "../../../src/keys/work/rewrap/rewrap.js";
import { FactoryKeys } from "../../../src/secrets/factory-keys.js";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { transitToken } from "../../support/crypto/sources/key-clouds.js";
import { type KeyedService, startKeyedService } from "../../support/keys/keyed-service.js";
import { openEverything } from "../../support/keys/open-everything.js";
import { secretValue } from "../../support/leak-watch.js";
import { expectProblem } from "../http/expect-problem.js";

const name = "transit/factory-secrets";
const source = `transit://vault.example.com/${name}`;

let clouds: StandInClouds;
let directory: string;
beforeAll(async () => {
  clouds = await startStandInClouds();
  clouds.vault.tokens.add(transitToken);
  directory = mkdtempSync(join(tmpdir(), "factory-secrets-keys-"));
  writeFileSync(join(directory, "ca.pem"), clouds.caPem);
  writeFileSync(join(directory, "token"), transitToken);
});
afterAll(async () => {
  await clouds.close();
  rmSync(directory, { recursive: true });
});

// An installation that has begun to move to Transit: what is new is wrapped there, what is old is not moved yet.
let keyed: KeyedService;
let id: string;
beforeEach(async () => {
  clouds.vault.keys.clear();
  clouds.vault.rotate(name);
  keyed = await startKeyedService({
    FACTORY_SECRETS_KEYS: source,
    FACTORY_SECRETS_TRANSIT_TOKEN_FILE: join(directory, "token"),
    FACTORY_SECRETS_CONNECT_TO: clouds.connectTo,
    FACTORY_SECRETS_CA_FILE: join(directory, "ca.pem"),
  });
  await keyed.service.createFactory("acme");
  await keyed.service
    .as(keyed.service.operatorToken)
    .put("/v1/factories/acme/secrets/a")
    .send({ value: secretValue() })
    .expect(201);
  id = (await keyed.post("/v1/keys", { key: source }).expect(201)).body.id;
  await keyed.post(`/v1/keys/${id}:activate`).expect(200);
});
afterEach(() => keyed.service.close());

/** The Vault answers with another key of the same name. @returns what brings the right one back */
function change(): () => void {
  const right = clouds.vault.keys.get(name);
  clouds.vault.keys.delete(name);
  clouds.vault.rotate(name);
  return () => {
    if (right) clouds.vault.keys.set(name, right);
  };
}

const create = (factory: string) => keyed.post("/v1/factories", { name: factory });
const ready = async () => (await keyed.service.as(undefined).get("/readyz")).body.status;
const listed = async (): Promise<{ problem?: string; wraps: { dataKeys: number } } | undefined> =>
  (await keyed.get("/v1/keys").expect(200)).body.items.find((item: { id: string }) => item.id === id);
const wrapped = async () => [...(await openEverything(keyed.service.database, await keyed.ring())).wrapped.keys()];

/** Works on what the first key wraps, with a key that comes between the service and Transit. */
async function rewrapThrough(between: (key: KeyEncryptionKey) => Partial<KeyEncryptionKey>) {
  const { prisma } = keyed.service.database;
  const keys = (await keyed.ring()).keys.map((key) => (key.id === id ? { ...key, ...between(key) } : key));
  return rewrapWork({ prisma, keys: new KeyRing(keys, () => readActiveKey(prisma)) }, keyed.first).batch(50);
}

describe("another key that answers at the address of the active one", () => {
  it("wraps nothing that is new, and is told by the answer, /readyz and the list of keys", async () => {
    const restore = change();
    const { detail } = expectProblem(await create("later"), "key-unavailable");
    expect(detail).toMatch(/is another one than was added/);
    expect(detail).not.toContain("vault.example.com");
    expect(await ready()).toBe("degraded");
    expect(await listed()).toMatchObject({
      problem: expect.stringContaining(`than the one that was added as ${id}`),
      wraps: { dataKeys: 0 },
    });
    restore();
    await create("later").expect(201);
    expect(await ready()).toBe("ready");
    expect((await listed())?.problem).toBeUndefined();
  });

  it("is found out before anybody needs it", async () => {
    const { prisma, pool } = keyed.service.database;
    const keys = await keyed.ring();
    change();
    const [audit, factoryKeys] = [new AuditWriter(pool), new FactoryKeys({ prisma, keys })];
    const tasks = new KeyTasks({ prisma, audit, keys, factoryKeys, onError: () => undefined });
    tasks.start();
    await expect.poll(() => keys.problemOf(id)).toMatch(/is another key now/);
    await tasks.close();
  });

  it("is rewrapped to by nobody: the task says why, and goes on when the right one is back", async () => {
    const restore = change();
    const { body: task } = await keyed.post(`/v1/keys/${keyed.first}:rewrap`).expect(202);
    const read = async () => (await keyed.get(`/v1/key-tasks/${task.id}`)).body;
    await expect.poll(async () => (await read()).problem).toMatch(/is another key now/);
    expect(await read()).toMatchObject({ state: "running", done: 0 });
    expectProblem(await keyed.post(`/v1/keys/${keyed.first}:retire`), "key-in-use");
    restore();
    await keyed.service.database.pool.query("UPDATE key_tasks SET leased_until = now() WHERE holder IS NULL");
    expect(await keyed.ended(task)).toMatchObject({ state: "done" });
    expect(await wrapped()).toEqual([id]);
  });

  it("is found out in the middle of a batch, before anything is put in its place", async () => {
    let calls = 0;
    const restoring: (() => void)[] = [];
    const batch = rewrapThrough((key) => ({
      wrap(place, bytes) {
        calls += 1;
        if (calls === 1) restoring.push(change());
        return key.wrap(place, bytes);
      },
    }));
    await expect(batch).rejects.toMatchObject({ code: "key-unavailable" });
    for (const restore of restoring) restore();
    expect(await wrapped()).toEqual([keyed.first]);
  });

  it("is not left alone with everything: the key before cannot be retired until the right one is back", async () => {
    const { body: task } = await keyed.post(`/v1/keys/${keyed.first}:rewrap`).expect(202);
    expect(await keyed.ended(task)).toMatchObject({ state: "done" });
    const restore = change();
    const refused = await keyed.post(`/v1/keys/${keyed.first}:retire`);
    expect(expectProblem(refused, "key-unavailable").detail).toMatch(/is another key now/);
    restore();
    await keyed.post(`/v1/keys/${keyed.first}:retire`).expect(200);
  });
});

describe("a key that does not open what it has wrapped", () => {
  it("is given nothing in a rewrap", async () => {
    const batch = rewrapThrough((key) => ({
      wrap: async (place, bytes) => {
        const sealed = await key.wrap(place, bytes);
        sealed[sealed.length - 1] = (sealed.at(-1) ?? 0) ^ 1;
        return sealed;
      },
    }));
    await expect(batch).rejects.toMatchObject({
      cause: { message: expect.stringContaining("does not unwrap what it has wrapped") },
    });
    expect(await wrapped()).toEqual([keyed.first]);
  });

  it("keeps the one before from being retired, and is told what does not open", async () => {
    const { body: task } = await keyed.post(`/v1/keys/${keyed.first}:rewrap`).expect(202);
    expect(await keyed.ended(task)).toMatchObject({ state: "done" });
    const { rows } = await keyed.service.database.pool.query<{ id: string }>(
      "UPDATE data_keys SET wrapped = set_byte(wrapped, 20, get_byte(wrapped, 20) # 1) WHERE purpose = 'secret' RETURNING id",
    );
    const refused = await keyed.post(`/v1/keys/${keyed.first}:retire`);
    expect(expectProblem(refused, "key-unsuitable").detail).toContain(`data key ${rows[0]?.id}`);
    expect((await keyed.keys()).get(keyed.first)).toMatchObject({ state: "known" });
  });
});
