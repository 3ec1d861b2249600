import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AuditWriter } from "../../../../src/audit/record.js";
import { startTestService, type TestService } from "../../../support/test-service.js";

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service.close());

/** Events and pauses that make up to 2,000 a second: more than one process hands out tokens. */
const write = 40;
const pauseMs = 20;

async function count(sql: string): Promise<number> {
  const { rows } = await service.database.pool.query<{ n: number }>(sql);
  return rows[0]?.n ?? -1;
}

const gauge = async (): Promise<number> => {
  const { text } = await service.as(undefined).get("/metrics");
  return Number(/^factory_secrets_audit_unsealed_events (\d+)$/m.exec(text)?.[1]);
};

it("checkpoints come while events do, the sealer keeps up, and the backlog is a gauge", {
  timeout: 120_000,
}, async () => {
  const audit = new AuditWriter(service.database.pool);
  const factory = await service.createFactory();
  const actor = { kind: "service", id: "", name: "load" } as const;
  const body = { action: "factory.created" } as const;
  const load = { isOver: false, written: 0 };
  const writing = (async () => {
    while (!load.isOver) {
      const event = { at: new Date(), outcome: "allowed", actor, factory, body } as const;
      await Promise.all(Array.from({ length: write }, () => audit.write(event)));
      load.written += write;
      await sleep(pauseMs);
    }
  })();
  const checkpoints = () => count("SELECT count(*)::int AS n FROM audit_statements WHERE kind = 'checkpoint'");
  // Nothing pauses the load: the second one is signed while it goes on.
  await expect.poll(checkpoints, { timeout: 100_000, interval: 250 }).toBeGreaterThanOrEqual(2);
  const signed = await count("SELECT max(position)::int AS n FROM audit_statements WHERE kind = 'checkpoint'");
  expect(signed).toBeGreaterThan(15_000);
  // What is not sealed is what came in a few rounds, not a part of everything.
  expect(await gauge()).toBeLessThan(load.written / 3);
  load.isOver = true;
  await writing;
  await expect.poll(gauge, { timeout: 20_000 }).toBe(0);
});
