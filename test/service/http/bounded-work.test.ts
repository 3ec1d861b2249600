import { afterAll, beforeAll, expect, it } from "vitest";
import { cpuSeconds, expectCpuSecondsBelow } from "../../support/cpu-seconds.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "./expect-problem.js";

let service: TestService;
let factory: string;
beforeAll(async () => {
  service = await startTestService();
  factory = (await service.createFactory()).name;
});
afterAll(() => service.close());

/** Sends a body that stays within its bytes. */
const post = async (path: string, body: string) =>
  service
    .as(service.operatorToken)
    .post(path.replace("FACTORY", factory))
    .set("Content-Type", "application/json")
    .send(body);

const members = (count: number) =>
  `{${Array.from({ length: count }, (_, index) => `"k${index.toString(36)}":""`).join(",")}}`;

it.each([
  ["unknown members of a batch", "/v1/factories/FACTORY/secrets:batch", members(60_000)],
  ["items of a batch", "/v1/factories/FACTORY/secrets:batch", `{"secrets":[${"1,".repeat(400_000)}1]}`],
  ["lists in lists", "/v1/factories/FACTORY/secrets:batch", "[".repeat(1_000_000)],
  ["plain members of a trigger", "/projects/FACTORY/lmp/triggers", members(60_000)],
  ["secrets of a trigger", "/projects/FACTORY/lmp/triggers", `{"secrets":[${"{},".repeat(250_000)}{}]}`],
  [
    "repositories of a token request",
    "/v1/factories/FACTORY/registry-tokens",
    `{"repositories":[${"1,".repeat(100_000)}1]}`,
  ],
])("refuses far too many %s before it looks at them", async (_what, path, body) => {
  const { detail } = expectProblem(await post(path, body), "invalid-request");
  expect(detail).toMatch(/^The body has more than [0-9]+ values/);
  // One value of the same length, sent and answered by the same two, is what a slow machine is slow with too.
  const oneValue = JSON.stringify({ name: "x".repeat(body.length) }).slice(0, body.length);
  const seconds = await cpuSeconds(() => post(path, oneValue));
  await expectCpuSecondsBelow(5 * seconds, () => post(path, body));
});

it("counts no marks inside of text", async () => {
  const value = '[{"\\,'.repeat(9_000);
  const body = JSON.stringify({ secrets: [{ name: "marks", value }] });
  expect((await post("/v1/factories/FACTORY/secrets:batch", body)).status).toBe(200);
});

it.each([101, 1_500])("takes at most 100 names of a trigger, plain or listed: not %s", async (count) => {
  const names = Array.from({ length: count }, (_, index) => `n${index}`);
  const plain = JSON.stringify(Object.fromEntries(names.map((name) => [name, "x"])));
  const reply = await post("/projects/FACTORY/lmp/triggers", plain);
  expect(expectProblem(reply, "invalid-request").detail).toContain("at most 100 names");
});

it("says so where a name would be lost instead of stored", async () => {
  const reply = await post("/projects/FACTORY/lmp/triggers", '{"other":"x","__proto__":"x"}');
  expect(expectProblem(reply, "invalid-request").invalid).toEqual([
    { at: "/__proto__", reason: "no member can have this name" },
  ]);
  const list = await service.as(service.operatorToken).get(`/v1/factories/${factory}/secrets`);
  expect(list.text).not.toContain("other");
});

it("takes no more than 256 KiB where no values travel", async () => {
  const reply = await post("/v1/factories/FACTORY/jobs", JSON.stringify({ name: "x".repeat(256 * 1024) }));
  expectProblem(reply, "body-too-large");
});
