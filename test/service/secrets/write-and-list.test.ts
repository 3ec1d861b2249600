import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { openStored } from "./open-stored.js";

type Item = { name: string };

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

async function newFactory() {
  const factory = await service.createFactory();
  return { factory, path: `/v1/factories/${factory.name}/secrets`, operator: service.as(service.operatorToken) };
}

describe("PUT", () => {
  it("answers 201 the first time and 200 after that, each time with the version that it made", async () => {
    const { path, operator } = await newFactory();
    const first = await operator.put(`${path}/a`).send({ value: secretValue() });
    expect([first.status, first.headers.etag, first.body]).toEqual([
      201,
      '"1"',
      { name: "a", version: 1, warnings: [] },
    ]);
    const second = await operator.put(`${path}/a`).send({ value: secretValue() });
    expect([second.status, second.headers.etag, second.body]).toEqual([
      200,
      '"2"',
      { name: "a", version: 2, warnings: [] },
    ]);
  });

  it("keeps what it is not told: description, expiry and flag", async () => {
    const { path, operator } = await newFactory();
    const noted = { description: "for CI", expiresAt: "2030-01-01T00:00:00.000Z", deliverToJobs: true };
    await operator
      .put(`${path}/a`)
      .send({ value: secretValue(), ...noted })
      .expect(201);
    await operator.put(`${path}/a`).send({ value: secretValue() }).expect(200);
    const { body } = await operator.get(`${path}/a`);
    expect(body).toMatchObject({ name: "a", version: 2, usedByRegistries: false, ...noted });
  });

  it("keeps the last 10 versions", async () => {
    const { factory, path, operator } = await newFactory();
    const values = Array.from({ length: 12 }, () => secretValue());
    for (const value of values) await operator.put(`${path}/a`).send({ value });
    const kept = await Promise.all(
      values.map((_, index) => openStored(service, { factory, name: "a", version: index + 1 })),
    );
    expect(kept.map((bytes) => bytes?.toString())).toEqual([undefined, undefined, ...values.slice(2)]);
  });
});

describe("metadata", () => {
  it("is shown without the value, or 404", async () => {
    const { path, operator } = await newFactory();
    await operator.put(`${path}/a`).send({ value: secretValue() });
    const { status, headers, body } = await operator.get(`${path}/a`);
    expect([status, headers.etag]).toEqual([200, '"1"']);
    expect(Object.keys(body).sort()).toEqual([
      "createdAt",
      "deliverToJobs",
      "name",
      "updatedAt",
      "usedByRegistries",
      "version",
    ]);
    expectProblem(await operator.get(`${path}/b`), "not-found");
  });
});

describe("DELETE", () => {
  it("removes a secret, whose name then begins again at version 1", async () => {
    const { factory, path, operator } = await newFactory();
    await operator.put(`${path}/a`).send({ value: secretValue() });
    await operator.put(`${path}/a`).send({ value: secretValue() });
    await operator.delete(`${path}/a`).expect(204);
    expectProblem(await operator.get(`${path}/a`), "not-found");
    expectProblem(await operator.delete(`${path}/a`), "not-found");
    expect(await openStored(service, { factory, name: "a" })).toBeUndefined();
    const again = await operator.put(`${path}/a`).send({ value: secretValue() });
    expect([again.status, again.body.version]).toEqual([201, 1]);
  });
});

describe("the list", () => {
  it("shows every name once, in order, page by page", async () => {
    const { path, operator } = await newFactory();
    const names = Array.from({ length: 7 }, (_, index) => `n${index}`);
    const secrets = names.toReversed().map((name) => ({ name, value: secretValue() }));
    await operator.post(`${path}:batch`).send({ secrets }).expect(200);
    const pages: string[][] = [];
    let pageToken: string | undefined;
    do {
      const { body } = await operator
        .get(path)
        .query({ pageSize: 3, ...(pageToken && { pageToken }) })
        .expect(200);
      pages.push(body.items.map((item: Item) => item.name));
      pageToken = body.nextPageToken;
    } while (pageToken !== undefined);
    expect(pages).toEqual([["n0", "n1", "n2"], ["n3", "n4", "n5"], ["n6"]]);
  });

  it("takes a prefix as it is: _ and % stand for themselves", async () => {
    const { path, operator } = await newFactory();
    const secrets = ["a_1", "a_2", "ab1", "A_3"].map((name) => ({ name, value: secretValue() }));
    await operator.post(`${path}:batch`).send({ secrets }).expect(200);
    const named = async (prefix: string) =>
      (await operator.get(path).query({ prefix })).body.items.map((item: Item) => item.name);
    expect(await named("a_")).toEqual(["a_1", "a_2"]);
    expect(await named("a%")).toEqual([]);
    expect(await named("\\")).toEqual([]);
    expect(await named("")).toEqual(["A_3", "a_1", "a_2", "ab1"]);
  });

  it.each(["0", "201", "-1", "1.5", "abc", ""])("refuses pageSize=%s", async (pageSize) => {
    const { path, operator } = await newFactory();
    const { invalid } = expectProblem(await operator.get(`${path}?pageSize=${pageSize}`), "invalid-request");
    expect(invalid).toEqual([{ at: "query/pageSize", reason: expect.any(String) }]);
  });

  it("takes pageSize 1 and 200", async () => {
    const { path, operator } = await newFactory();
    for (const pageSize of [1, 200]) await operator.get(path).query({ pageSize }).expect(200);
  });

  it.each(["garbage", "AA", "", Buffer.from("a b").toString("base64url")])(
    "refuses the page token %j",
    async (pageToken) => {
      const { path, operator } = await newFactory();
      expectProblem(await operator.get(path).query({ pageToken }), "invalid-request");
    },
  );

  it("refuses NUL in a prefix", async () => {
    const { path, operator } = await newFactory();
    expectProblem(await operator.get(`${path}?prefix=%00`), "invalid-request");
  });
});

describe("a batch", () => {
  it("stores all, each with its version", async () => {
    const { path, operator } = await newFactory();
    await operator.put(`${path}/b`).send({ value: secretValue() });
    const secrets = ["a", "b"].map((name) => ({ name, value: secretValue() }));
    const { status, body } = await operator.post(`${path}:batch`).send({ secrets });
    expect(status).toBe(200);
    expect(body.secrets).toEqual([
      { name: "a", version: 1, warnings: [] },
      { name: "b", version: 2, warnings: [] },
    ]);
  });

  it("stores none when one is refused", async () => {
    const { path, operator } = await newFactory();
    await operator.put(`${path}/a`).send({ value: secretValue() });
    const secrets = [
      { name: "a", value: secretValue() },
      { name: "b", value: secretValue() },
      { name: "c", value: "" },
    ];
    const { invalid } = expectProblem(await operator.post(`${path}:batch`).send({ secrets }), "invalid-request");
    expect(invalid).toEqual([{ at: "/secrets/2/value", reason: "is empty; a value has 1 to 65,536 bytes" }]);
    const { body } = await operator.get(path);
    expect(body.items).toMatchObject([{ name: "a", version: 1 }]);
  });

  it("refuses a name given twice, by name", async () => {
    const { path, operator } = await newFactory();
    const secrets = ["a", "b", "a"].map((name) => ({ name, value: secretValue() }));
    const { invalid } = expectProblem(await operator.post(`${path}:batch`).send({ secrets }), "invalid-request");
    expect(invalid).toEqual([{ at: "/secrets/2/name", reason: '"a" is named twice in one batch' }]);
  });
});
