import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AuditSealer, type Rhythm } from "../../../../src/audit/log/sealer.js";
import { AuditWriter } from "../../../../src/audit/record.js";
import { type SealedService, startSealedService, storedLines, verifyLines } from "./sealed-service.js";

const hourMs = 3_600_000;

let sealed: SealedService;
let sealer: AuditSealer | undefined;
beforeEach(async () => {
  sealed = await startSealedService();
  // Beyond the first checkpoint the service's own sealer signs nothing for a minute.
  await sealed.exported();
});
afterEach(async () => {
  await sealer?.close();
  await sealed.service.close();
});

function startSealer(rhythm: Partial<Rhythm>): void {
  const { prisma } = sealed.service.database;
  const onError = (error: unknown) => {
    throw error;
  };
  const usual = { roundMs: 10, checkpointEvents: 1_000_000, checkpointMs: hourMs };
  sealer = new AuditSealer({ prisma, signingKey: sealed.signingKey, onError, rhythm: { ...usual, ...rhythm } });
  sealer.start();
}

/** Sizes of the checkpoints of a log, in order. */
async function sizes(log: string): Promise<number[]> {
  const { rows } = await sealed.service.database.pool.query<{ size: number }>(
    "SELECT size::int FROM audit_checkpoints WHERE log_id = $1 ORDER BY size",
    [log],
  );
  return rows.map(({ size }) => size);
}

/** Writes events of a factory without a pause, until it is told to stop. @returns how many there were */
function writeSteadily(factory: { id: string; name: string }): () => Promise<number> {
  const audit = new AuditWriter(sealed.service.database.pool);
  const actor = { kind: "service", id: "", name: "load" } as const;
  const load = { isOver: false, written: 0 };
  const writing = (async () => {
    while (!load.isOver) {
      const event = {
        at: new Date(),
        outcome: "allowed",
        actor,
        factory,
        body: { action: "factory.created" },
      } as const;
      await Promise.all(Array.from({ length: 20 }, () => audit.write(event)));
      load.written += 20;
    }
  })();
  return async () => {
    load.isOver = true;
    await writing;
    return load.written;
  };
}

const gauge = async (): Promise<number> => {
  const { text } = await sealed.service.as(undefined).get("/metrics");
  return Number(/^factory_secrets_audit_unsealed_events (\d+)$/m.exec(text)?.[1]);
};

describe("under steady load", () => {
  it("checkpoints come at the interval, of each log that has new leaves and no other", async () => {
    const factory = await sealed.service.createFactory();
    const idle = await sealed.service.createFactory();
    startSealer({ checkpointMs: 200 });
    await expect.poll(() => sizes(idle.id)).toEqual([1]);
    const stop = writeSteadily(factory);
    await expect.poll(async () => (await sizes(factory.id)).length).toBeGreaterThan(4);
    await stop();
    expect(await sizes(idle.id)).toEqual([1]);
    const { rows } = await sealed.service.database.pool.query<{ ms: number }>(
      `SELECT extract(epoch FROM created_at - lag(created_at) OVER (ORDER BY size))::float8 * 1000 AS ms
       FROM audit_checkpoints WHERE log_id = $1 ORDER BY size OFFSET 1`,
      [factory.id],
    );
    for (const { ms } of rows) expect(ms).toBeGreaterThanOrEqual(199);
    await expect.poll(gauge).toBe(0);
  });

  it("checkpoints come after so many events of all logs, whatever the time", async () => {
    const factory = await sealed.service.createFactory();
    startSealer({ checkpointEvents: 300 });
    const stop = writeSteadily(factory);
    await expect.poll(async () => (await sizes(factory.id)).length).toBeGreaterThan(3);
    await stop();
    const steps = (await sizes(factory.id)).map((size, at, all) => size - (all[at - 1] ?? 0));
    // A batch of at most 1,000 is sealed between two looks.
    for (const events of steps.slice(1)) expect(events).toBeGreaterThanOrEqual(290);
    for (const events of steps) expect(events).toBeLessThanOrEqual(300 + 1_000);
  });
});

it("after a flood the sealer catches up, and checkpoints cover all of it", async () => {
  const factory = await sealed.service.createFactory();
  await sealed.seal();
  startSealer({ checkpointEvents: 10_000, checkpointMs: 1_000 });
  const events = 15_000;
  await sealed.service.database.pool.query(
    `INSERT INTO audit_events (at, factory_id, action, outcome, actor_kind, writer, sequence, event)
     SELECT now(), $1, 'factory.created', 'allowed', 'service', gen_random_uuid(), number,
       convert_to('{"at":"2026-12-01T00:00:00.000Z","number":' || number || '}', 'UTF8')
     FROM generate_series(1, $2::int) AS number`,
    [factory.id, events],
  );
  await expect.poll(async () => (await sizes(factory.id)).at(-1)).toBe(events + 1);
  const steps = (await sizes(factory.id)).map((size, at, all) => size - (all[at - 1] ?? 0));
  for (const step of steps) expect(step).toBeLessThanOrEqual(11_000);
  expect(await gauge()).toBe(0);
  expect(await verifyLines(await storedLines(sealed.service, factory.id))).toMatchObject([{ size: events + 1 }]);
});
