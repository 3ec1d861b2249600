import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue, watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const maxSecrets = 8;
let service: TestService;
let replica: TestService;
beforeAll(async () => {
  const environment = { FACTORY_SECRETS_MAX_SECRETS: String(maxSecrets) };
  service = await startTestService(environment);
  replica = await startTestService(environment, service);
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

async function newFactory() {
  const { name } = await service.createFactory();
  return { path: `/v1/factories/${name}/secrets`, operator: service.as(service.operatorToken) };
}

describe("names", () => {
  it.each(["a", "_", "0", "ssh-github.key", "A.b_c-d", "x".repeat(255)])("takes %s", async (name) => {
    const { path, operator } = await newFactory();
    await operator.put(`${path}/${name}`).send({ value: secretValue() }).expect(201);
  });

  it.each([".hidden", "-flag", "a b", "a/b", "a\\b", "ä", "a\n", "a\0", "a:b", "a,b", "x".repeat(256), "%2e%2e"])(
    "refuses %j, and does not repeat it",
    async (name) => {
      const { path, operator } = await newFactory();
      const reply = await operator.put(`${path}/${encodeURIComponent(name)}`).send({ value: secretValue() });
      const { invalid } = expectProblem(reply, "invalid-request");
      expect(invalid).toEqual([{ at: "path/name", reason: expect.stringMatching(/^1 to 255 letters, digits/) }]);
    },
  );
});

describe("values", () => {
  it("take 1 byte to 64 KiB, counted in bytes", async () => {
    const { path, operator } = await newFactory();
    const most = watched("ä".repeat(32 * 1024));
    await operator.put(`${path}/a`).send({ value: "x" }).expect(201);
    await operator.put(`${path}/a`).send({ value: most }).expect(200);
    await operator
      .put(`${path}/a`)
      .send({ valueBase64: Buffer.alloc(64 * 1024).toString("base64") })
      .expect(200);
  });

  it.each([
    ["an empty value", { value: "" }, "/value", /empty/],
    ["an empty value in base64", { valueBase64: "" }, "/valueBase64", /empty/],
    ["a byte too many", { value: `${"ä".repeat(32 * 1024)}x` }, "/value", /larger than 65,536 bytes/],
    [
      "a byte too many in base64",
      { valueBase64: Buffer.alloc(64 * 1024 + 1).toString("base64") },
      "/valueBase64",
      /larger/,
    ],
    ["base64 without its padding", { valueBase64: "YQ" }, "/valueBase64", /not base64/],
    ["base64 of the URL alphabet", { valueBase64: "__8=" }, "/valueBase64", /not base64/],
    ["a lone surrogate", { value: "\ud800" }, "/value", /lone surrogate/],
    ["a number", { value: 12345678 }, "/value", /must be a text/],
    ["no value", {}, "", /exactly one/],
    ["two values", { value: "x", valueBase64: "eA==" }, "", /exactly one/],
    ["a field that does not exist", { value: "x", valu: "y" }, "", /^unknown field "valu"; did you mean "value"\?/],
    ["a year that no calendar has", { value: "x", expiresAt: "0000-01-01T00:00:00Z" }, "/expiresAt", /./],
    ["a description with a line end", { value: "x", description: "a\nb" }, "/description", /control/],
    ["one with a line end of Unicode's", { value: "x", description: "a\u2028b" }, "/description", /control/],
    ["one that is written backwards", { value: "x", description: "a\u202eb" }, "/description", /control/],
  ])("refuses %s", async (_what, body, at, reason) => {
    const { path, operator } = await newFactory();
    const { invalid } = expectProblem(await operator.put(`${path}/a`).send(body), "invalid-request");
    expect(invalid).toEqual([{ at, reason: expect.stringMatching(reason) }]);
  });
});

describe("the size of a batch", () => {
  it("is at most 100 names", async () => {
    const { path, operator } = await newFactory();
    const secrets = Array.from({ length: 101 }, (_, index) => ({ name: `n${index}`, value: "x" }));
    const { invalid } = expectProblem(await operator.post(`${path}:batch`).send({ secrets }), "invalid-request");
    expect(invalid).toEqual([{ at: "/secrets", reason: "at most 100 names in one batch" }]);
    expectProblem(await operator.post(`${path}:batch`).send({ secrets: [] }), "invalid-request");
  });

  it("is at most 1 MiB", async () => {
    const { path, operator } = await newFactory();
    const small = JSON.stringify({ secrets: [] });
    const most = small.padEnd(1024 * 1024, " ");
    const send = (text: string) => operator.post(`${path}:batch`).set("Content-Type", "application/json").send(text);
    expectProblem(await send(most), "invalid-request");
    const { detail } = expectProblem(await send(`${most} `), "body-too-large");
    expect(detail).toContain("1048576 bytes");
  });
});

describe("FACTORY_SECRETS_MAX_SECRETS", () => {
  it("is exact, however many write at once on however many replicas", async () => {
    const { path } = await newFactory();
    const replies = await Promise.all(
      Array.from({ length: 24 }, (_, index) => {
        const through = index % 2 === 0 ? service : replica;
        return through.as(service.operatorToken).put(`${path}/n${index}`).send({ value: secretValue() });
      }),
    );
    const stored = replies.filter(({ status }) => status === 201);
    const refused = replies.filter(({ status }) => status !== 201);
    for (const reply of refused) {
      expect(expectProblem(reply, "limit-reached").detail).toContain(`at most ${maxSecrets} secrets`);
    }
    expect(stored).toHaveLength(maxSecrets);
  });

  it("counts a deleted secret no more, and never a further version", async () => {
    const { path, operator } = await newFactory();
    const secrets = Array.from({ length: maxSecrets }, (_, index) => ({ name: `n${index}`, value: secretValue() }));
    await operator.post(`${path}:batch`).send({ secrets }).expect(200);
    await operator.post(`${path}:batch`).send({ secrets }).expect(200);
    expectProblem(await operator.put(`${path}/more`).send({ value: secretValue() }), "limit-reached");
    await operator.delete(`${path}/n0`).expect(204);
    await operator.put(`${path}/more`).send({ value: secretValue() }).expect(201);
  });

  it("refuses a whole batch of which a part would fit", async () => {
    const { path, operator } = await newFactory();
    const secrets = Array.from({ length: maxSecrets + 1 }, (_, index) => ({ name: `n${index}`, value: secretValue() }));
    expectProblem(await operator.post(`${path}:batch`).send({ secrets }), "limit-reached");
    expect((await operator.get(path)).body.items).toEqual([]);
  });
});
