import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AuditWriter } from "../../../../src/audit/record.js";
import { startOwnTestService, type TestService } from "../../../support/test-service.js";

let service: TestService;
let startedMs: number;
beforeAll(async () => {
  startedMs = Date.now();
  service = await startOwnTestService();
});
afterAll(() => service.close());

/** Events and pauses that make up to 2,000 a second: more than one process hands out tokens. */
const write = 40;
const pauseMs = 20;

/** What the service signs by itself: after so many events, and those of the batch that is being sealed, or a minute. */
const checkpointEvents = 10_000;
const batchEvents = 1_000;
const checkpointMs = 60_000;

async function checkpoints(): Promise<{ position: number; atMs: number }[]> {
  const { rows } = await service.database.pool.query<{ position: number; atMs: number }>(
    `SELECT position::int, extract(epoch FROM created_at)::float8 * 1000 AS "atMs" FROM audit_statements
     WHERE kind = 'checkpoint' ORDER BY position`,
  );
  return rows;
}

const gauge = async (): Promise<number> => {
  const { text } = await service.as(undefined).get("/metrics");
  return Number(/^factory_secrets_audit_unsealed_events (\d+)$/m.exec(text)?.[1]);
};

it("checkpoints come while events do, the sealer keeps up, and the backlog is a gauge", {
  timeout: 240_000,
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
  const lastSigned = async () => (await checkpoints()).at(-1)?.position ?? 0;
  // Nothing pauses the load: it goes on until this much is signed, however long this machine takes for it.
  await expect.poll(lastSigned, { timeout: 200_000, interval: 250 }).toBeGreaterThan(15_000);
  const signed = await checkpoints();
  const steps = signed.map(({ position, atMs }, index) => ({
    events: position - (signed[index - 1]?.position ?? 0),
    ms: atMs - (signed[index - 1]?.atMs ?? startedMs),
  }));
  for (const { events, ms } of steps) {
    expect(events).toBeLessThanOrEqual(checkpointEvents + batchEvents);
    // By events or, on a slow machine, by time: one of the two was due.
    expect(events >= checkpointEvents || ms >= checkpointMs - 1_000).toBe(true);
  }
  // What is not sealed is what came in a few rounds, not a part of everything.
  expect(await gauge()).toBeLessThan(load.written / 3);
  load.isOver = true;
  await writing;
  await expect.poll(gauge, { timeout: 20_000 }).toBe(0);
});
