import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type RepeatableEvent, RepeatedEvents } from "../../../src/audit/counted-events.js";
import { routes } from "../../../src/service/routes.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { pathOfRoute } from "../http/route-path.js";

let service: TestService;
let first: TestService;

async function refusals(factory: string): Promise<Record<string, unknown>[]> {
  const { body } = await first
    .as(first.operatorToken)
    .get(`/v1/factories/${factory}/audit?action=request.refused&pageSize=200`);
  return body.items;
}

describe("refusals of a known caller", () => {
  beforeAll(async () => {
    first = await startTestService();
  });
  beforeEach(async () => {
    service = await startTestService({}, first);
  });
  afterAll(() => first.close());

  it("are gathered by caller, route, code and minute; the first is a row at once", async () => {
    const { name } = await first.createFactory();
    const job = await first.openJob(name);
    const other = await first.openJob(name);
    const ask = (token: string, path: string) => service.as(token).get(`/v1/factories/${name}/${path}`);
    await ask(job.token, "secrets");
    expect(await refusals(name)).toMatchObject([{ actor: { id: job.id }, route: "listSecrets", code: "forbidden" }]);
    await Promise.all(Array.from({ length: 300 }, () => ask(job.token, "secrets")));
    await ask(job.token, "api-tokens");
    await ask(other.token, "secrets");
    const atOnce = await refusals(name);
    expect(atOnce.map(({ route }) => route)).toEqual(["listSecrets", "listApiTokens", "listSecrets"]);
    expect(atOnce.filter(({ count }) => count !== undefined)).toEqual([]);
    // What is only counted is not lost when the service stops.
    await service.close();
    const [counted, ...rest] = await refusals(name);
    expect(rest).toHaveLength(3);
    expect(counted).toMatchObject({ actor: { id: job.id }, route: "listSecrets", count: 300, address: "127.0.0.1" });
    expect(counted).not.toHaveProperty("requestId");
  });

  it("are few rows when one caller asks every route, over and over", async () => {
    const { name } = await first.createFactory();
    const { token } = await first.openJob(name);
    for (let round = 0; round < 3; round += 1) {
      for (const route of routes) await service.as(token)[route.method](pathOfRoute(route, name));
    }
    await service.close();
    const rows = await refusals(name);
    const kinds = new Set(rows.map(({ route, code }) => `${route} ${code}`));
    expect(kinds.size).toBeGreaterThan(20);
    expect(rows.length).toBeLessThanOrEqual(2 * kinds.size);
  });
});

describe("events that are counted", () => {
  const factory = { id: "0f1e6c1e-7a5c-4f0a-9c6e-000000000001", name: "acme" };
  const refusal = (id: string, address = "192.0.2.1"): RepeatableEvent => ({
    at: new Date(),
    outcome: "refused",
    actor: { kind: "job", id, name: "build" },
    factory,
    address,
    body: { action: "request.refused", route: "listSecrets", code: "forbidden" },
  });
  const record = (events: RepeatedEvents, id: string, address?: string, maxOfFactory = 3) =>
    events.record(
      { key: [id], event: refusal(id, address) },
      {
        key: ["forbidden"],
        event: { ...refusal(""), actor: { kind: "unknown", id: "", name: "others" } },
        maxOfFactory,
      },
    );

  it("take no more memory and rows than their bound, and lose no count beyond it", async () => {
    const written: { actor: { id: string }; body: object }[] = [];
    const events = new RepeatedEvents({ write: async (event) => void written.push(event), onError: () => undefined });
    for (let id = 0; id < 1_000; id += 1) await record(events, String(id % 100));
    await events.flush();
    expect(written.length).toBeLessThanOrEqual(8);
    const total = written.reduce((sum, { body }) => sum + ("count" in body ? Number(body.count) : 1), 0);
    expect(total).toBe(1_000);
  });

  it("keep their count while it cannot be written", async () => {
    const written: object[] = [];
    let isAway = false;
    const errors: unknown[] = [];
    const write = async (event: { body: object }) => {
      if (isAway) throw new Error("the database is away");
      written.push(event.body);
    };
    const events = new RepeatedEvents({ write, onError: (error) => errors.push(error) });
    for (let round = 0; round < 5; round += 1) await record(events, "a");
    isAway = true;
    await events.flush();
    expect(errors).toHaveLength(1);
    isAway = false;
    await record(events, "a");
    await events.flush();
    const total = written.reduce<number>((sum, body) => sum + ("count" in body ? Number(body.count) : 1), 0);
    expect(total).toBe(6);
  });

  it("say an address only if all came from there", async () => {
    const written: object[] = [];
    const events = new RepeatedEvents({ write: async (event) => void written.push(event), onError: () => undefined });
    for (const address of ["192.0.2.1", "192.0.2.1", "192.0.2.2"]) await record(events, "a", address);
    await events.flush();
    expect(written[1]).not.toHaveProperty("address");
  });
});
