import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

const create = (name: unknown) => service.as(service.operatorToken).post("/v1/factories").send({ name });

describe("a factory's name", () => {
  it.each(["a", "0", "acme-2", "a-", "x".repeat(63)])("can be %s", async (name) => {
    const { status, body } = await create(name);
    expect([status, body]).toEqual([201, { id: expect.any(String), name, createdAt: expect.any(String) }]);
    expect((await service.as(service.operatorToken).get(`/v1/factories/${name}`)).body).toEqual(body);
  });

  it.each(["", "-a", "Acme", "a_b", "a.b", "a b", "ä", "a\n", "x".repeat(64), 1, null])(
    "cannot be %j",
    async (name) => {
      const { invalid } = expectProblem(await create(name), "invalid-request");
      expect(invalid).toMatchObject([{ at: "/name" }]);
    },
  );

  it("is given out once, however many ask at once", async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => create("contested")));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    for (const reply of replies.filter(({ status }) => status !== 201)) expectProblem(reply, "already-exists");
  });

  it("is never given out again after deletion", async () => {
    await create("retired");
    const operator = service.as(service.operatorToken);
    await operator.delete("/v1/factories/retired").expect(204);
    expectProblem(await create("retired"), "name-retired");
    expectProblem(await operator.get("/v1/factories/retired"), "not-found");
    expectProblem(await operator.delete("/v1/factories/retired"), "not-found");
  });
});

describe("a deleted factory", () => {
  it("leaves no secret, key or config, no working credential, and its audit", async () => {
    const { id, name } = await service.createFactory();
    const operator = service.as(service.operatorToken);
    const credentials = [await service.createApiToken(name, ["secrets:list"]), await service.openJob(name)];
    await operator.put(`/v1/factories/${name}/secrets/a`).send({ value: secretValue() }).expect(201);
    const config = "- type: generic\n  url: ghcr.io\n  generic_secret_name: a\n";
    await operator.put(`/v1/factories/${name}/config`).set("Content-Type", "application/yaml").send(config).expect(201);
    await operator.delete(`/v1/factories/${name}`).expect(204);
    for (const { token } of credentials) expectProblem(await service.as(token).get("/v1/whoami"), "unauthenticated");
    for (const table of ["secrets", "data_keys", "config_versions", "approved_destinations"]) {
      const { rowCount } = await service.database.pool.query(`SELECT FROM ${table} WHERE factory_id = $1`, [id]);
      expect([table, rowCount]).toEqual([table, 0]);
    }
    expectProblem(await operator.get(`/v1/factories/${name}/secrets`), "not-found");
    expectProblem(await operator.put(`/v1/factories/${name}/secrets/a`).send({ value: secretValue() }), "not-found");
    const { body } = await operator.get("/v1/audit").query({ pageSize: 200 });
    const story = body.items.filter((event: { factory?: { id: string } }) => event.factory?.id === id);
    expect(story.map(({ action }: { action: string }) => action).toReversed()).toEqual([
      "factory.created",
      "api-token.created",
      "job.opened",
      "secret.written",
      "config.published",
      "destination.approved",
      "factory.deleted",
    ]);
  });

  it("takes no write that was under way with it", async () => {
    const { id, name } = await service.createFactory();
    const operator = service.as(service.operatorToken);
    const writes = Array.from({ length: 10 }, (_, index) =>
      operator.put(`/v1/factories/${name}/secrets/n${index}`).send({ value: secretValue() }),
    );
    const [deleted, ...written] = await Promise.all([operator.delete(`/v1/factories/${name}`), ...writes]);
    expect(deleted.status).toBe(204);
    for (const { status, body } of written) expect([201, 404], JSON.stringify(body)).toContain(status);
    const { rowCount } = await service.database.pool.query("SELECT FROM secrets WHERE factory_id = $1", [id]);
    expect(rowCount).toBe(0);
  });
});
