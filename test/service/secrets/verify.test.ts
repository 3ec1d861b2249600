import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";
import { lifeOf, newLife } from "./secret-life.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

describe("verify", () => {
  it("tells whether a candidate is the current value, as text or as bytes", async () => {
    const life = await newLife(service, 1);
    const value = secretValue();
    await life.put(value);
    const ask = async (body: object) => (await life.post(":verify", {}, body).expect(200)).body;
    expect(await ask({ value })).toEqual({ matches: true, version: 2 });
    expect(await ask({ valueBase64: Buffer.from(value).toString("base64") })).toEqual({ matches: true, version: 2 });
    expect(await ask({ value: `${value}\n` })).toEqual({ matches: false, version: 2 });
    expect(await ask({ value: secretValue() })).toEqual({ matches: false, version: 2 });
  });

  it("compares with the current version, not with a staged one", async () => {
    const life = await newLife(service, 1);
    const next = secretValue();
    await life.stage(next);
    expect((await life.post(":verify", {}, { value: next })).body).toEqual({ matches: false, version: 1 });
    await life.post("/versions/2:promote").expect(200);
    expect((await life.post(":verify", {}, { value: next })).body).toEqual({ matches: true, version: 2 });
  });

  it("leaves a row for each question, with its answer and without the candidate", async () => {
    const life = await newLife(service, 1);
    await life.post(":verify", {}, { value: secretValue() }).expect(200);
    const { action, secretVersion, matches, actor } = (await life.events()).at(-1) ?? {};
    expect({ action, secretVersion, matches }).toEqual({ action: "secret.verified", secretVersion: 1, matches: false });
    expect(actor).toMatchObject({ name: "test operator" });
  });

  it("answers ten times a minute for each secret, and then 429", async () => {
    const life = await newLife(service, 1);
    for (let question = 0; question < 10; question += 1) {
      await life.post(":verify", {}, { value: secretValue() }).expect(200);
    }
    const refused = await life.post(":verify", {}, { value: secretValue() });
    expectProblem(refused, "too-many-requests");
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    const other = lifeOf(service, life.factory, "b");
    await other.put().expect(201);
    await other.post(":verify", {}, { value: secretValue() }).expect(200);
  });

  it("knows no secret that is not there, and takes one value", async () => {
    const life = await newLife(service, 0);
    expectProblem(await life.post(":verify", {}, { value: secretValue() }), "not-found");
    expectProblem(await life.post(":verify", {}, {}), "invalid-request");
    expectProblem(await life.post(":verify", {}, { value: secretValue(), valueBase64: "YQ==" }), "invalid-request");
  });
});
