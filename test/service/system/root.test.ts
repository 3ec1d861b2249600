import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

it("GET / says what this is, and leads to what answers without a credential", async () => {
  const { body } = await service
    .as(undefined)
    .get("/")
    .expect(200)
    .expect("Content-Type", /^application\/json/);
  expect(body).toMatchObject({ name: "factory-secrets" });
  for (const link of Object.values<string>(body.links)) await service.as(undefined).get(link).expect(200);
});

it("other methods on / are refused, with those that there are", async () => {
  const reply = await service.as(undefined).delete("/");
  expectProblem(reply, "method-not-allowed");
  expect(reply.headers.allow?.split(", ").toSorted()).toEqual(["GET", "POST"]);
});
