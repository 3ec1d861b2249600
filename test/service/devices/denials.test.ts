import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { permissions } from "../../../src/core/permissions.js";
import { expectCpuSecondsBelow } from "../../support/cpu-seconds.js";
import { makeRoot } from "../../support/devices/device-certificates.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const factory = "denials";
const path = `/v1/factories/${factory}/denied-devices`;

let service: TestService;
let authorityId: string;
beforeAll(async () => {
  service = await startTestService();
  await service.createFactory(factory);
  const authority = { name: "devices", certificates: (await makeRoot()).pem };
  const made = await operator().post(`/v1/factories/${factory}/device-authorities`).send(authority).expect(201);
  authorityId = made.body.id;
});
afterAll(() => service.close());

const operator = () => service.as(service.operatorToken);
const deny = (body: object) => operator().post(path).send(body);

describe("a denied device", () => {
  it("is listed, and allowed again, each with its audit event", async () => {
    const deviceId = randomUUID();
    const made = await deny({ deviceId: deviceId.toUpperCase(), reason: "stolen" });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ deviceId, reason: "stolen", createdBy: "test operator" });
    expect((await operator().get(path)).body.items).toContainEqual(made.body);
    expectProblem(await deny({ deviceId }), "already-exists");
    await operator().delete(`${path}/${made.body.id}`).expect(204);
    expectProblem(await operator().delete(`${path}/${made.body.id}`), "not-found");
    const { body } = await operator().get(`/v1/factories/${factory}/audit`).query({ pageSize: 200 });
    const about = body.items.filter((event: { denialId?: string }) => event.denialId === made.body.id);
    expect(about.map(({ action }: { action: string }) => action).toSorted()).toEqual([
      "device.allowed-again",
      "device.denied",
    ]);
    expect(about[0]).toMatchObject({ deviceId });
  });

  it("may be one certificate, however its serial is written", async () => {
    const made = await deny({ authorityId, serial: "00:4F:1E" });
    expect([made.status, made.body.serial, made.body.authorityId]).toEqual([201, "4f1e", authorityId]);
    expectProblem(await deny({ authorityId, serial: "4f1e" }), "already-exists");
  });

  it("is named by one thing alone, and by an authority of its factory", async () => {
    const deviceId = randomUUID();
    for (const body of [{}, { deviceId, authorityId, serial: "0a" }, { serial: "0a" }, { authorityId }]) {
      expectProblem(await deny(body), "invalid-request");
    }
    expectProblem(await deny({ authorityId: randomUUID(), serial: "0a" }), "not-found");
  });

  it("is refused quickly with a serial that no certificate has", async () => {
    await expectCpuSecondsBelow(1, async () =>
      expectProblem(await deny({ authorityId, serial: `${"a".repeat(79)}!` }), "invalid-request"),
    );
  });

  it("is allowed again only by who could ask for tokens, and only in its factory", async () => {
    const { body } = await deny({ deviceId: randomUUID() });
    const narrow = permissions.filter((one) => one !== "registry-tokens:issue");
    const { token } = await service.createApiToken(factory, narrow);
    expectProblem(await service.as(token).delete(`${path}/${body.id}`), "forbidden");
    const other = await service.createFactory();
    expectProblem(await operator().delete(`/v1/factories/${other.name}/denied-devices/${body.id}`), "not-found");
  });
});
