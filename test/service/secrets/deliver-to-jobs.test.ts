import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { deafen } from "../../support/deafen.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const config = "container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: named\n";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

async function newFactory() {
  const { name } = await service.createFactory();
  const path = `/v1/factories/${name}`;
  const operator = service.as(service.operatorToken);
  const put = (secret: string, more: object = {}) =>
    operator.put(`${path}/secrets/${secret}`).send({ value: `user:${secretValue()}`, ...more });
  const publish = (query = "") =>
    operator.put(`${path}/config${query}`).set("Content-Type", "application/yaml").send(config);
  return { path, operator, put, publish };
}

describe("a secret that a registry entry names", () => {
  it("cannot be flagged for delivery", async () => {
    const { path, operator, put, publish } = await newFactory();
    await put("named").expect(201);
    await publish().expect(201);
    const { detail } = expectProblem(await put("named", { deliverToJobs: true }), "secret-in-use");
    expect(detail).toContain("never delivered");
    const { body } = await operator.get(`${path}/secrets/named`);
    expect(body).toMatchObject({ version: 1, deliverToJobs: false, usedByRegistries: true });
  });

  it("cannot be made with the flag, when the entry came first", async () => {
    const { put, publish } = await newFactory();
    await publish("?allowMissingSecrets=true").expect(201);
    expectProblem(await put("named", { deliverToJobs: true }), "secret-in-use");
    await put("named").expect(201);
  });

  it("cannot be flagged in a batch, of which then nothing is stored", async () => {
    const { path, operator, put, publish } = await newFactory();
    await put("named").expect(201);
    await publish().expect(201);
    const secrets = [
      { name: "other", value: secretValue() },
      { name: "named", value: secretValue(), deliverToJobs: true },
    ];
    expectProblem(await operator.post(`${path}/secrets:batch`).send({ secrets }), "secret-in-use");
    expect((await operator.get(`${path}/secrets`)).body.items).toHaveLength(1);
  });

  it("is deleted with ?force=true only, and the problem names the entry, before it is announced as well", async () => {
    const { path, operator, put, publish } = await newFactory();
    await deafen(service);
    await put("named").expect(201);
    await publish().expect(201);
    const { detail } = expectProblem(await operator.delete(`${path}/secrets/named`), "secret-in-use");
    expect(detail).toContain("ghcr.io");
    expect(detail).toContain(`DELETE ${path}/secrets/named?force=true`);
    await operator.delete(`${path}/secrets/named?force=true`).expect(204);
    const { body } = await operator.get(`${path}/audit?action=secret.deleted`);
    expect(body.items).toMatchObject([{ secret: "named", forced: true, via: "api" }]);
  });
});

describe("a flagged secret", () => {
  it("cannot be named by an entry until the flag is taken away", async () => {
    const { put, publish } = await newFactory();
    await put("named", { deliverToJobs: true }).expect(201);
    expect(expectProblem(await publish(), "invalid-config").detail).toContain("deliverToJobs");
    await put("named", { deliverToJobs: false }).expect(200);
    await publish().expect(201);
  });

  it("never becomes a named one, whichever of the two comes first", async () => {
    for (let round = 0; round < 5; round += 1) {
      const { path, operator, put, publish } = await newFactory();
      await put("named").expect(201);
      const [flagged, published] = await Promise.all([put("named", { deliverToJobs: true }), publish()]);
      expect([flagged.status, published.status].toSorted()).toEqual(flagged.status === 200 ? [200, 422] : [201, 409]);
      const { body } = await operator.get(`${path}/secrets/named`);
      expect([body.deliverToJobs, body.usedByRegistries].filter(Boolean)).toHaveLength(1);
    }
  });
});
