import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuditWriter } from "../../../src/audit/record.js";
import { sweepDeletedSecrets } from "../../../src/secrets/deleted/undelete-secret.js";
import { secretValue } from "../../support/leak-watch.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { openStored } from "./open-stored.js";
import { lifeOf, newLife } from "./secret-life.js";

let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService({ FACTORY_SECRETS_MAX_SECRETS: "3" });
});
afterAll(() => service.close());

const deleted = async (factory: { name: string }) =>
  (await service.as(service.operatorToken).get(`/v1/factories/${factory.name}/deleted-secrets`).expect(200)).body.items;

/** How many rows of ciphertext the factory still has, deleted or not. */
async function storedVersions(factory: { id: string }): Promise<number> {
  const { rows } = await service.database.pool.query<{ count: number }>(
    `SELECT count(*)::int FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
     WHERE s.factory_id = $1 AND length(v.ciphertext) > 0`,
    [factory.id],
  );
  return rows[0]?.count ?? -1;
}

/** Sweeps when everything that is deleted was so many days ago. */
async function sweep(daysAgo: number): Promise<number> {
  const { prisma, pool } = service.database;
  await pool.query(
    "UPDATE secrets SET deleted_at = now() - make_interval(hours => 24 * $1) WHERE deleted_at IS NOT NULL",
    [daysAgo],
  );
  return sweepDeletedSecrets({ prisma, audit: new AuditWriter(pool), undeleteDays: 30 });
}

describe("undelete", () => {
  it("brings back a secret with its value and its versions", async () => {
    const life = await newLife(service, 1);
    const value = secretValue();
    await life.put(value);
    await life.remove().expect(204);
    expect(await deleted(life.factory)).toMatchObject([{ name: "a", version: 2 }]);
    const { body, headers } = await life.post(":undelete").expect(200);
    expect(body).toEqual({ name: "a", version: 2 });
    expect(headers.etag).toBe('"2"');
    expect(await life.states()).toEqual(["2 current", "1 previous"]);
    expect((await openStored(service, { factory: life.factory, name: "a" }))?.toString()).toBe(value);
    expect(await deleted(life.factory)).toEqual([]);
    expect((await life.put()).body.version).toBe(3);
    expect((await life.events()).map(({ action }) => action)).toContain("secret.undeleted");
  });

  it("brings back nothing that was purged: what was deleted before goes, what is in use stays", async () => {
    const life = await newLife(service, 2);
    const path = `/v1/factories/${life.factory.name}/deleted-secrets/a`;
    const purge = () => service.as(service.operatorToken).delete(path);
    expectProblem(await purge(), "not-found");
    await life.remove().expect(204);
    await life.put().expect(201);
    await life.remove().expect(204);
    const value = secretValue();
    await life.put(value).expect(201);
    expect(await storedVersions(life.factory)).toBe(4);
    await purge().expect(204);
    expect(await storedVersions(life.factory)).toBe(1);
    expect(await deleted(life.factory)).toEqual([]);
    expect((await openStored(service, { factory: life.factory, name: "a" }))?.toString()).toBe(value);
    await life.remove("?purge=true").expect(204);
    expectProblem(await life.post(":undelete"), "not-found");
    const purged = (await life.events()).filter(({ action }) => action === "secret.purged");
    expect(purged.map(({ secretVersion }) => secretVersion).sort()).toEqual([1, 2]);
    for (const event of purged)
      expect(event).toMatchObject({ actor: { kind: "operator" }, requestId: expect.any(String) });
  });

  it("leaves a new secret of the name alone, and brings back the one deleted last", async () => {
    const life = await newLife(service, 1);
    await life.remove().expect(204);
    await life.put(secretValue()).expect(201);
    expectProblem(await life.post(":undelete"), "already-exists");
    await life.put().expect(200);
    await life.remove().expect(204);
    expect((await life.post(":undelete").expect(200)).body.version).toBe(2);
  });

  it("is a compare-and-set on what was the current version", async () => {
    const life = await newLife(service, 2);
    await life.remove();
    expectProblem(await life.post(":undelete", { "If-Match": '"1"' }), "precondition-failed");
    await life.post(":undelete", { "If-Match": '"2"' }).expect(200);
  });

  it("is done once, however many ask", async () => {
    const life = await newLife(service, 1);
    await life.remove();
    const all = await Promise.all(Array.from({ length: 8 }, () => life.post(":undelete")));
    expect(all.map(({ status }) => status).filter((status) => status === 200)).toHaveLength(1);
    expect(await service.database.prisma.factory.findUnique({ where: { id: life.factory.id } })).toMatchObject({
      secretCount: 1,
    });
  });

  it("is held to the number of secrets that a factory may have", async () => {
    const life = await newLife(service, 1);
    await life.remove();
    for (const name of ["b", "c", "d"]) await lifeOf(service, life.factory, name).put().expect(201);
    expectProblem(await life.post(":undelete"), "limit-reached");
  });

  it("knows no other factory's, and nothing that never was", async () => {
    const life = await newLife(service, 1);
    await life.remove();
    const other = lifeOf(service, await service.createFactory(), "a");
    expectProblem(await other.post(":undelete"), "not-found");
    expectProblem(await lifeOf(service, life.factory, "never").post(":undelete"), "not-found");
  });

  it("finds an entry that has come to name it, and is refused if its value may leave in a job", async () => {
    const life = await newLife(service, 0);
    const agent = service.as(service.operatorToken);
    await agent.put(life.path).send({ value: secretValue(), deliverToJobs: true }).expect(201);
    await life.remove();
    const document = "container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: a\n";
    const config = agent.put(`/v1/factories/${life.factory.name}/config?allowMissingSecrets=true`);
    await config.set("Content-Type", "application/yaml").send(document).expect(201);
    expectProblem(await life.post(":undelete"), "secret-in-use");
    await life.put(`ci:${secretValue()}`).expect(201);
    await life.remove("?force=true").expect(204);
    await life.post(":undelete").expect(200);
    expect((await life.get()).body.usedByRegistries).toBe(true);
  });
});

describe("a deleted secret", () => {
  it("is destroyed for good once its time is over, and not before", async () => {
    const life = await newLife(service, 2);
    const kept = lifeOf(service, life.factory, "kept");
    await kept.put().expect(201);
    await life.remove().expect(204);
    await sweep(29);
    expect(await storedVersions(life.factory)).toBe(3);
    expect(await sweep(31)).toBeGreaterThan(0);
    expect(await storedVersions(life.factory)).toBe(1);
    expectProblem(await life.post(":undelete"), "not-found");
    expect((await life.events()).at(-1)).toMatchObject({ action: "secret.purged", actor: { kind: "service" } });
  });

  it("is swept once, by however many replicas", async () => {
    const lives = await Promise.all(Array.from({ length: 5 }, () => newLife(service, 1)));
    for (const life of lives) await life.remove().expect(204);
    await Promise.all(Array.from({ length: 4 }, () => sweep(31)));
    for (const life of lives) {
      const actions = (await life.events()).map(({ action }) => action);
      expect(actions).toEqual(["secret.written", "secret.deleted", "secret.purged"]);
    }
  });

  it("has no values any more when it was deleted with purge", async () => {
    const life = await newLife(service, 2);
    await life.remove("?purge=true").expect(204);
    expect(await storedVersions(life.factory)).toBe(0);
    expect(await deleted(life.factory)).toEqual([]);
    expectProblem(await life.post(":undelete"), "not-found");
    expect((await life.events()).at(-1)).toMatchObject({ action: "secret.deleted", purged: true });
  });
});
