import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  authorizationOf,
  type BrokeredFactory,
  pull,
  startBrokeredFactory,
} from "../../support/broker/brokered-factory.js";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { lifeOf, type SecretLife } from "../secrets/secret-life.js";

const oldPassword = watched("not-a-real-secret-old-7f31");
const newPassword = watched("not-a-real-secret-new-c28e");
const repositories = Array.from({ length: 400 }, (_, index) => `acme/app-${index}`);
const rights = Object.fromEntries(repositories.map((repository) => [repository, ["pull"] as const]));
const config = "container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n";

const users: Record<string, { password: string; rights: typeof rights }> = {};
const allow = (...passwords: string[]): void => {
  for (const name of Object.keys(users)) delete users[name];
  for (const password of passwords) users[password === oldPassword ? "old" : "new"] = { password, rights };
};

let broker: BrokeredFactory;
let replicas: TestService[];
let life: SecretLife;
beforeAll(async () => {
  const openRegistry = ({ docker }: StandInClouds) => {
    docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 });
  };
  broker = await startBrokeredFactory(openRegistry, {}, "a new database");
  const further = await Promise.all([1, 2].map(() => startTestService(broker.environment, broker.service)));
  replicas = [broker.service, ...further];
  life = lifeOf(broker.service, broker.factory, "ghcr_creds");
  await life.put(`old:${oldPassword}`).expect(201);
  await broker.putConfig(config);
  // Nothing is announced in this file: "at once" must hold without any message between replicas.
  await broker.service.database.pool.query("ALTER TABLE factories DISABLE TRIGGER factories_announce_generation");
});
afterAll(async () => {
  for (const replica of replicas.slice(1)) await replica.close();
  await broker.close();
});
beforeEach(async () => {
  allow(oldPassword, newPassword);
  await life.put(`old:${oldPassword}`).expect(200);
});

/** Stages the new credential. @returns the number of its version */
const stageNew = async (): Promise<number> => (await life.stage(`new:${newPassword}`).expect(200)).body.version;
const demand = (repository = "acme/app-0") => ({ registry: "ghcr.io", repositories: [repository] });

describe("a rotation in two steps", () => {
  it("fails no job, though the cloud refuses the old key from a given moment", async () => {
    const job = await broker.openJob();
    const callers = [...replicas, ...replicas];
    const turns = callers.map(() => 0);
    const failures: unknown[] = [];
    let isOver = false;
    const work = async (through: TestService, worker: number): Promise<void> => {
      while (!isOver) {
        const turn = turns[worker] ?? 0;
        // Every other request is for a repository that no token is kept for.
        const repository =
          repositories[turn % 2 === 0 ? 0 : (callers.length * turn + worker) % repositories.length] ?? "";
        const reply = await broker.ask(job.token, demand(repository), through);
        const [token] = reply.status === 200 ? reply.body.tokens : [];
        const pulled = token ? await pull(broker.clouds, "ghcr.io", repository, authorizationOf(token)) : 0;
        if (reply.status !== 200 || pulled !== 200) failures.push({ status: reply.status, pulled, body: reply.body });
        turns[worker] = turn + 1;
      }
    };
    const eachTook = async (more: number): Promise<void> => {
      const wanted = turns.map((turn) => turn + more);
      while (turns.some((turn, worker) => turn < (wanted[worker] ?? 0))) await sleep(5);
    };
    const workers = callers.map(work);
    await eachTook(4);
    const version = await stageNew();
    const { body: found } = await life.post(`/versions/${version}:doctor`).expect(200);
    expect(found).toMatchObject({ passed: true, version, currentVersion: version - 1 });
    await eachTook(4);
    await life.post(`/versions/${version}:promote?doctor=true`).expect(200);
    // Whoever was being answered meanwhile has the answer: that is what the grace time is for.
    await eachTook(2);
    allow(newPassword);
    await eachTook(8);
    isOver = true;
    await Promise.all(workers);
    expect(failures).toEqual([]);
    // The load was there on both sides: both versions minted, and the last of them was the new one.
    const minted = (await broker.events("registry-token.issued")).filter(({ cached }) => cached === false);
    expect(new Set(minted.map(({ secretVersion }) => secretVersion))).toEqual(new Set([version - 1, version]));
    expect(minted.at(-1)).toMatchObject({ secretVersion: version });
  });

  it("is held up by the doctor while the cloud does not know the new key yet", async () => {
    const { token } = await broker.openJob();
    const version = await stageNew();
    allow(oldPassword);
    expectProblem(await life.post(`/versions/${version}:promote?doctor=true`), "version-unsuitable");
    expect((await broker.ask(token, demand("acme/app-9"))).status).toBe(200);
    allow(oldPassword, newPassword);
    await life.post(`/versions/${version}:promote?doctor=true`).expect(200);
  });

  it("mints from the promoted version at once on every replica, and from the old one after a rollback", async () => {
    const { token } = await broker.openJob();
    const version = await stageNew();
    for (const on of replicas) expect((await broker.ask(token, demand(), on)).status).toBe(200);
    await life.post(`/versions/${version}:promote`).expect(200);
    allow(newPassword);
    for (const on of replicas) {
      expect((await broker.ask(token, demand("acme/app-1"), on)).status).toBe(200);
    }
    allow(oldPassword);
    await life.post(":rollback").expect(200);
    for (const on of replicas) {
      expect((await broker.ask(token, demand("acme/app-2"), on)).status).toBe(200);
    }
    const issued = (await broker.events("registry-token.issued")).map(({ secretVersion }) => secretVersion);
    const each = (of: number) => replicas.map(() => of);
    expect(issued.slice(-9)).toEqual([...each(version - 1), ...each(version), ...each(version - 1)]);
  });

  it("keeps a token in memory through a rollback, and never mints from a destroyed version", async () => {
    const { token } = await broker.openJob();
    const version = await stageNew();
    const first = await broker.ask(token, demand("acme/app-3"));
    await life.post(`/versions/${version}:promote`).expect(200);
    await life.post(":rollback").expect(200);
    const again = await broker.ask(token, demand("acme/app-3"));
    expect(again.body.tokens[0].bearer).toBe(first.body.tokens[0].bearer);
    await life.post(`/versions/${version}:promote`).expect(200);
    await life.remove(`/versions/${version - 1}?force=true`).expect(204);
    expectProblem(await life.post(":rollback"), "version-unsuitable");
    expect((await broker.ask(token, demand("acme/app-4"))).status).toBe(200);
  });
});

describe("the usage of a secret", () => {
  it("names the entries, the callers and the versions, and until when an old token lives", async () => {
    const job = await broker.service.openJob(broker.factory.name, { name: "build 7" });
    const version = await stageNew();
    await broker.ask(job.token, demand());
    const before = await life.get("/usage").expect(200);
    expect(before.body).toMatchObject({ name: "ghcr_creds", version: version - 1, entries: ["ghcr.io"], webhooks: [] });
    const use = before.body.uses.find(({ id, version: used }: { id: string; version: number }) => {
      return id === job.id && used === version - 1;
    });
    expect(use).toMatchObject({ kind: "job", name: "build 7", lastUsedAt: expect.any(String) });
    await life.post(`/versions/${version}:promote`).expect(200);
    const after = await life.get("/usage").expect(200);
    expect(after.body.version).toBe(version);
    expect(after.body.olderTokensUntil >= use.tokensUntil).toBe(true);
  });

  it("names the webhooks of the config too", async () => {
    const hooks = "notify:\n  webhooks:\n  - url: https://hooks.example.test\n    secret_name: hook\n";
    const hook = lifeOf(broker.service, broker.factory, "hook");
    await hook.put().expect(201);
    await broker.putConfig(`${config}${hooks}`);
    expect((await hook.get("/usage").expect(200)).body).toMatchObject({ entries: [], webhooks: ["line 8, column 18"] });
    await hook.remove().expect(204);
    expectProblem(await hook.get("/usage"), "not-found");
  });

  it("is told in the report of all secrets too, as JSON and as CSV", async () => {
    const path = `/v1/factories/${broker.factory.name}/reports/rotation`;
    await lifeOf(broker.service, broker.factory, "idle").put().expect(201);
    const get = (query = "") => broker.service.as(broker.service.operatorToken).get(`${path}${query}`);
    const { body } = await get().expect(200);
    expect(body.secrets).toMatchObject([
      { name: "ghcr_creds", ageDays: 0, usedByRegistries: true, olderTokensUntil: expect.any(String) },
      { name: "idle", version: 1, usedByRegistries: false, stagedVersions: 0 },
    ]);
    expect(body.secrets[1].lastUsedAt).toBeUndefined();
    const csv = await get(".csv").expect(200);
    expect(csv.headers["content-type"]).toBe("text/csv; charset=utf-8");
    const [head, ...lines] = csv.text.trimEnd().split("\r\n");
    expect(head?.split(",").slice(0, 4)).toEqual(["name", "version", "createdAt", "rotatedAt"]);
    expect(lines.map((line) => line.split(",")[0])).toEqual(["ghcr_creds", "idle"]);
    const later = new Date(Date.now() + 60_000).toISOString();
    const unused = await get(`?unusedSince=${body.secrets[1].createdAt}`).expect(200);
    expect(unused.body.secrets.map(({ name }: { name: string }) => name)).not.toContain("idle");
    expect((await get(`?unusedSince=${later}`)).body.secrets).toHaveLength(2);
    const names = async (query: string) =>
      (await get(query).expect(200)).body.secrets.map(({ name }: { name: string }) => name);
    expect(await names(`?expiresBefore=${later}`)).toEqual([]);
    const ending = { value: "not-a-real-secret-ending", expiresAt: new Date(Date.now() + 30_000).toISOString() };
    const idle = broker.service
      .as(broker.service.operatorToken)
      .put(`/v1/factories/${broker.factory.name}/secrets/idle`);
    await idle.send(ending).expect(200);
    expect(await names(`?expiresBefore=${later}`)).toEqual(["idle"]);
    expect(await names(`?expiresBefore=${ending.expiresAt}`)).toEqual([]);
    const [ofIdle] = (await get(`?expiresBefore=${later}`)).body.secrets;
    expect(await names(`?rotatedBefore=${ofIdle.rotatedAt}`)).toEqual(["ghcr_creds"]);
    expect(await names(`?rotatedBefore=${later}`)).toEqual(["ghcr_creds", "idle"]);
  });
});
