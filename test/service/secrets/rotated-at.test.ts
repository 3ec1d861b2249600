import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
let path: string;
let factory: string;
let operator: ReturnType<TestService["as"]>;
let first: string;

beforeAll(async () => {
  service = await startTestService();
  operator = service.as(service.operatorToken);
});
beforeEach(async () => {
  factory = (await service.createFactory()).name;
  path = `/v1/factories/${factory}/secrets/a`;
  first = secretValue();
  await write(first);
});
afterAll(() => service.close());

const write = (value: string, query = "") =>
  operator
    .put(`${path}${query}`)
    .send({ value })
    .expect(({ ok, text }) => expect(ok, text).toBe(true));
const step = (verb: string) => operator.post(`${path}${verb}`).send({}).expect(200);

async function rotatedAt(): Promise<number> {
  const { body } = await operator.get(`/v1/factories/${factory}/reports/rotation`).expect(200);
  return Date.parse(body.secrets[0].rotatedAt);
}

it("is when the value first became current: the same one written, staged, restored or promoted again moves nothing", async () => {
  const atFirst = await rotatedAt();
  await write(first);
  expect(await rotatedAt()).toBe(atFirst);
  await write(first, "?stage=true");
  await step("/versions/3:promote");
  expect(await rotatedAt()).toBe(atFirst);
  await step(":rollback");
  expect(await rotatedAt()).toBe(atFirst);
  await step("/versions/1:restore");
  expect(await rotatedAt()).toBe(atFirst);
  // Beyond the versions that are kept.
  for (let round = 0; round < 12; round += 1) await write(first);
  expect(await rotatedAt()).toBe(atFirst);
});

it("moves with another value, and back to what it was with a rollback, and again with a promotion", async () => {
  const atFirst = await rotatedAt();
  await write(secretValue());
  const atSecond = await rotatedAt();
  expect(atSecond).toBeGreaterThan(atFirst);
  await step(":rollback");
  expect(await rotatedAt()).toBe(atFirst);
  await step("/versions/2:promote");
  expect(await rotatedAt()).toBe(atSecond);
});

it("of a staged version is when it was promoted, not when it was written", async () => {
  await write(secretValue(), "?stage=true");
  const { body } = await operator.get(`${path}/versions`).expect(200);
  const stagedAt = Date.parse(body.items[0].createdAt);
  await step("/versions/2:promote");
  expect(await rotatedAt()).toBeGreaterThan(stagedAt);
});

it("of one secret says nothing of the same value in another", async () => {
  await operator.put(`/v1/factories/${factory}/secrets/b`).send({ value: first }).expect(201);
  const { body } = await operator.get(`/v1/factories/${factory}/reports/rotation`).expect(200);
  const [a, b] = body.secrets.map((secret: { rotatedAt: string }) => Date.parse(secret.rotatedAt));
  expect(b).toBeGreaterThan(a);
});
