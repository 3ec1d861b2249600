import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { newLife } from "../secrets/secret-life.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

const pathOf = (factory: { name: string }): string => `/v1/factories/${factory.name}/settings`;
const change = (factory: { name: string }, body: object, headers: Record<string, string> = {}) =>
  service.as(service.operatorToken).patch(pathOf(factory)).set(headers).send(body);

describe("the settings of a factory", () => {
  it("are ten versions and twelve hours, until they are changed", async () => {
    const factory = await service.createFactory();
    const { body, headers } = await service.as(service.operatorToken).get(pathOf(factory)).expect(200);
    expect(body).toEqual({ keepVersions: 10, rotationGraceSeconds: 43_200 });
    expect(headers.etag).toBe('"1"');
    const changed = await change(factory, { keepVersions: 3 }, { "If-Match": '"1"' }).expect(200);
    expect(changed.body).toEqual({ keepVersions: 3, rotationGraceSeconds: 43_200 });
    expect(changed.headers.etag).toBe('"2"');
    const audit = await service.as(service.operatorToken).get(`/v1/factories/${factory.name}/audit`);
    expect(audit.body.items[0]).toMatchObject({ action: "factory.settings-changed", keepVersions: 3 });
  });

  it("are changed by one of many who hold to a version", async () => {
    const factory = await service.createFactory();
    const all = Array.from({ length: 10 }, (_, index) =>
      change(factory, { keepVersions: index + 1 }, { "If-Match": '"1"' }),
    );
    const statuses = (await Promise.all(all)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([200, ...Array.from({ length: 9 }, () => 412)]);
    expectProblem(await change(factory, { keepVersions: 2 }, { "If-None-Match": "*" }), "precondition-failed");
  });

  it.each([{}, { keepVersions: 0 }, { keepVersions: 1_001 }, { rotationGraceSeconds: -1 }, { keepVersion: 3 }])(
    "refuses %j",
    async (body) => {
      expectProblem(await change(await service.createFactory(), body), "invalid-request");
    },
  );
});

describe("how many versions are kept", () => {
  it("is the factory's own number", async () => {
    const life = await newLife(service, 4);
    await change(life.factory, { keepVersions: 2 }).expect(200);
    expect(await life.states()).toHaveLength(4);
    await life.put();
    expect(await life.states()).toEqual(["5 current", "4 previous"]);
  });

  it("never takes the current version, nor the one before, nor a number that was destroyed", async () => {
    const life = await newLife(service, 3);
    await life.remove("/versions/1").expect(204);
    await change(life.factory, { keepVersions: 1 }).expect(200);
    await life.stage();
    await life.stage();
    expect(await life.states()).toEqual(["5 staged", "3 current", "2 previous", "1 destroyed"]);
    await life.put();
    expect(await life.states()).toEqual(["6 current", "3 previous", "1 destroyed"]);
    await life.post(":rollback").expect(200);
    await life.stage();
    expect(await life.states()).toEqual(["7 staged", "3 current", "1 destroyed"]);
  });

  it("decides with the grace time when the previous version can be destroyed", async () => {
    const life = await newLife(service, 2);
    await change(life.factory, { rotationGraceSeconds: 0 }).expect(200);
    await life.remove("/versions/1").expect(204);
  });
});
