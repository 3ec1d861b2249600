import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestService, type TestService } from "../support/test-service.js";
import { expectProblem } from "./expect-problem.js";

let service: TestService;
let factory: string;
beforeAll(async () => {
  service = await startTestService();
  factory = (await service.createFactory()).name;
});
afterAll(() => service.close());

/** Sends a body that stays within its bytes. Gives the CPU seconds that the service and its client took too. */
async function post(path: string, body: string) {
  const before = process.cpuUsage();
  const reply = await service
    .as(service.operatorToken)
    .post(path.replace("FACTORY", factory))
    .set("Content-Type", "application/json")
    .send(body);
  const { user, system } = process.cpuUsage(before);
  return { reply, seconds: (user + system) / 1_000_000 };
}

/** CPU seconds for one look at each character, just now. */
function secondsToScan(body: string): number {
  const before = process.cpuUsage();
  expect(body.split(",").length).toBeGreaterThan(0);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000_000;
}

const members = (count: number) =>
  `{${Array.from({ length: count }, (_, index) => `"k${index.toString(36)}":""`).join(",")}}`;

it.each([
  ["unknown members of a batch", "/v1/factories/FACTORY/secrets:batch", members(500_000)],
  ["items of a batch", "/v1/factories/FACTORY/secrets:batch", `{"secrets":[${"1,".repeat(3_000_000)}1]}`],
  ["lists in lists", "/v1/factories/FACTORY/secrets:batch", "[".repeat(8_000_000)],
  ["plain members of a trigger", "/projects/FACTORY/lmp/triggers", members(500_000)],
  ["secrets of a trigger", "/projects/FACTORY/lmp/triggers", `{"secrets":[${"{},".repeat(2_000_000)}{}]}`],
  [
    "repositories of a token request",
    "/v1/factories/FACTORY/registry-tokens",
    `{"repositories":[${"1,".repeat(100_000)}1]}`,
  ],
])("refuses a million %s before it looks at them", async (_what, path, body) => {
  const { reply, seconds } = await post(path, body);
  const { detail } = expectProblem(reply, "invalid-request");
  expect(detail).toMatch(/^The body has more than [0-9]+ values/);
  // Half a second, or on a slow machine as long as a few looks at each of its characters take.
  expect(seconds).toBeLessThan(Math.max(0.5, 20 * secondsToScan(body)));
});

it("counts no marks inside of text", async () => {
  const value = '[{"\\,'.repeat(9_000);
  const body = JSON.stringify({ secrets: [{ name: "marks", value }] });
  expect((await post("/v1/factories/FACTORY/secrets:batch", body)).reply.status).toBe(200);
});

it.each([101, 1_500])("takes at most 100 names of a trigger, plain or listed: not %s", async (count) => {
  const names = Array.from({ length: count }, (_, index) => `n${index}`);
  const plain = JSON.stringify(Object.fromEntries(names.map((name) => [name, "x"])));
  const { reply } = await post("/projects/FACTORY/lmp/triggers", plain);
  expect(expectProblem(reply, "invalid-request").detail).toContain("at most 100 names");
});

it("says so where a name would be lost instead of stored", async () => {
  const { reply } = await post("/projects/FACTORY/lmp/triggers", '{"other":"x","__proto__":"x"}');
  expect(expectProblem(reply, "invalid-request").invalid).toEqual([
    { at: "/__proto__", reason: "no member can have this name" },
  ]);
  const list = await service.as(service.operatorToken).get(`/v1/factories/${factory}/secrets`);
  expect(list.text).not.toContain("other");
});

it("takes no more than 256 KiB where no values travel", async () => {
  const { reply } = await post("/v1/factories/FACTORY/jobs", JSON.stringify({ name: "x".repeat(256 * 1024) }));
  expectProblem(reply, "body-too-large");
});
