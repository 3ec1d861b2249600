import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestService, type TestService } from "../support/test-service.js";
import { secretValue } from "../support/leak-watch.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

it("stores a secret and shows its name", async () => {
  const { name } = await service.createFactory();
  const put = await service.as(service.operatorToken).put(`/v1/factories/${name}/secrets/a`).send({ value: secretValue() });
  expect(put.status).toBe(201);
  const list = await service.as(service.operatorToken).get(`/v1/factories/${name}/secrets`);
  expect(list.body.items.map((item: { name: string }) => item.name)).toEqual(["a"]);
});
