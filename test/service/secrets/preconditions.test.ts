import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
let replica: TestService;
beforeAll(async () => {
  service = await startTestService();
  replica = await startTestService({}, service);
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

async function newSecret(versions: number) {
  const { name } = await service.createFactory();
  const path = `/v1/factories/${name}/secrets/a`;
  const put = (headers: Record<string, string> = {}, through = service) =>
    through.as(service.operatorToken).put(path).set(headers).send({ value: secretValue() });
  for (let version = 0; version < versions; version += 1) await put();
  const remove = (headers: Record<string, string>) => service.as(service.operatorToken).delete(path).set(headers);
  return { path, put, remove };
}

describe("If-None-Match: *", () => {
  it("creates, and never overwrites", async () => {
    const { put } = await newSecret(0);
    expect((await put({ "If-None-Match": "*" })).status).toBe(201);
    const { detail } = expectProblem(await put({ "If-None-Match": "*" }), "precondition-failed");
    expect(detail).toContain("version 1");
  });

  it("lets one of many create it, on however many replicas", async () => {
    const { put } = await newSecret(0);
    const all = Array.from({ length: 20 }, (_, index) => put({ "If-None-Match": "*" }, index % 2 ? service : replica));
    const statuses = (await Promise.all(all)).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([201, ...Array.from({ length: 19 }, () => 412)]);
  });

  it.each([{ "If-None-Match": '"1"' }, { "If-None-Match": "*", "If-Match": '"1"' }])("refuses %j", async (headers) => {
    const { put } = await newSecret(1);
    expectProblem(await put(headers), "invalid-request");
  });
});

describe("If-Match", () => {
  it("writes over the version that it names, and no other", async () => {
    const { put } = await newSecret(2);
    expect((await put({ "If-Match": '"2"' })).body.version).toBe(3);
    const { detail } = expectProblem(await put({ "If-Match": '"2"' }), "precondition-failed");
    expect(detail).toContain("3");
  });

  it("sees what another replica wrote", async () => {
    const { put } = await newSecret(1);
    await put({}, replica);
    expectProblem(await put({ "If-Match": '"1"' }), "precondition-failed");
    expect((await put({ "If-Match": '"2"' })).status).toBe(200);
  });

  it("lets one of many through", async () => {
    const { put } = await newSecret(1);
    const all = Array.from({ length: 20 }, (_, index) => put({ "If-Match": '"1"' }, index % 2 ? service : replica));
    const statuses = (await Promise.all(all)).map(({ status }) => status);
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, ...Array.from({ length: 19 }, () => 412)]);
  });

  it.each(["*", '"1"'])("%s does not create", async (tag) => {
    const { put } = await newSecret(0);
    expectProblem(await put({ "If-Match": tag }), "precondition-failed");
  });

  const strange = ['W/"1"', '"x"', '"1", "2"', '"01x"', '"01"', '"-1"'];
  it.each(strange)(
    "%s, which is no tag of ours, matches nothing, and the refusal names no number for it",
    async (tag) => {
      const { path, put } = await newSecret(1);
      const promote = service.as(service.operatorToken).post(`${path}/versions/1:promote`).set("If-Match", tag);
      for (const reply of [await put({ "If-Match": tag }), await promote]) {
        const { detail } = expectProblem(reply, "precondition-failed");
        expect(detail).toBe("The current version is 1, and If-Match names none of its versions.");
      }
    },
  );

  it.each(["1", " 7 "])("%j, a version without quotes, is refused with the way to write it", async (version) => {
    const { put } = await newSecret(1);
    const { detail } = expectProblem(await put({ "If-Match": version }), "invalid-request");
    expect(detail).toContain(`Write "${version.trim()}".`);
  });

  it("holds for a deletion", async () => {
    const { remove } = await newSecret(2);
    expectProblem(await remove({ "If-Match": '"1"' }), "precondition-failed");
    expect((await remove({ "If-Match": '"2"' })).status).toBe(204);
  });
});
