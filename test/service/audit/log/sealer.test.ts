import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { earlierTransactionsEnded } from "../../../support/earlier-transactions.js";
import { eventsIn, type SealedService, startSealedService, verifyLines } from "./sealed-service.js";

let sealed: SealedService;
beforeAll(async () => {
  sealed = await startSealedService();
  await sealed.exported();
});
afterAll(() => sealed.service.close());

async function unsealed(): Promise<number> {
  const { rows } = await sealed.service.database.pool.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM audit_events e WHERE NOT EXISTS (SELECT FROM audit_seals WHERE event_id = e.id)",
  );
  return rows[0]?.n ?? -1;
}

/** Writes an event in a transaction that `during` runs inside of, before it commits. */
async function whileUncommitted(during: () => Promise<void>): Promise<string> {
  const client = await sealed.service.database.pool.connect();
  try {
    await client.query("BEGIN");
    const { rows } = await client.query<{ id: string }>(
      `INSERT INTO audit_events (at, action, outcome, actor_kind, writer, sequence, event)
       SELECT at, action, outcome, actor_kind, gen_random_uuid(), 1, event FROM audit_events ORDER BY id LIMIT 1
       RETURNING id`,
    );
    await during();
    await client.query("COMMIT");
    return rows[0]?.id ?? "";
  } finally {
    client.release();
  }
}

/** Ends the connection of a sealer in the middle of a batch. @returns what became of the batch */
async function loseABatch(): Promise<"sealed" | "lost"> {
  const { database } = sealed.service;
  await sealed.service.createFactory();
  await earlierTransactionsEnded(database);
  const blocker = await database.pool.connect();
  try {
    await blocker.query("BEGIN");
    await blocker.query("LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE");
    let outcome: "sealed" | "lost" | undefined;
    const batch = sealed.sealer.seal().then(
      () => (outcome = "sealed" as const),
      () => (outcome = "lost" as const),
    );
    const endWaiting =
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    await expect.poll(() => database.pool.query(endWaiting).then(() => outcome)).toBeDefined();
    return await batch;
  } finally {
    await blocker.query("ROLLBACK");
    blocker.release();
  }
}

describe("the sealer", () => {
  it("leaves what commits after a transaction that still runs until that has ended, and misses nothing", async () => {
    let inBetween = "";
    const early = await whileUncommitted(async () => {
      ({ name: inBetween } = await sealed.service.createFactory());
      await sealed.sealer.seal();
      expect(await unsealed()).toBeGreaterThan(0);
    });
    const lines = await sealed.exported();
    const number = (id: string) => `(SELECT number FROM audit_seals WHERE event_id = ${id})`;
    const { rows } = await sealed.service.database.pool.query(
      `SELECT ${number(early)} < ${number("e.id")} AS "isFirst" FROM audit_events AS e
       WHERE convert_from(event, 'UTF8') LIKE '%"name":"${inBetween}"%' AND action = 'factory.created'`,
    );
    expect(rows).toEqual([{ isFirst: true }]);
    expect(eventsIn(lines).some((line) => line.includes(`"id":"${early}"`))).toBe(true);
    expect(await unsealed()).toBe(0);
    await expect(verifyLines(lines)).resolves.toBeDefined();
  });

  it("seals each event once while several seal and many write", async () => {
    const { service, sealer } = sealed;
    const sealing = { done: false };
    const sealers = [1, 2, 3].map(async () => {
      while (!sealing.done) await sealer.seal({ wait: true });
    });
    await Promise.all(Array.from({ length: 40 }, () => service.createFactory()));
    sealing.done = true;
    await Promise.all(sealers);
    const lines = await sealed.exported();
    expect(await unsealed()).toBe(0);
    await expect(verifyLines(lines)).resolves.toBeDefined();
  });

  it("goes on after a batch that was lost with its connection", async () => {
    // The service's own sealer may be there first, and then there is nothing to lose.
    await expect.poll(loseABatch).toBe("lost");
    const lines = await sealed.exported();
    expect(await unsealed()).toBe(0);
    await expect(verifyLines(lines)).resolves.toBeDefined();
  });

  it("takes up a database that was restored into a cluster with smaller transaction ids", async () => {
    await sealed.exported();
    await sealed.tamper("UPDATE audit_events SET transaction = '900000000000'");
    await sealed.tamper("UPDATE audit_sealer SET frontier = '900000000001'");
    await sealed.service.createFactory();
    const lines = await sealed.exported();
    expect(await unsealed()).toBe(0);
    await expect(verifyLines(lines)).resolves.toBeDefined();
    await sealed.service.createFactory();
    await sealed.exported();
    expect(await unsealed()).toBe(0);
  });

  it("takes transactions in the order of their numbers, and the events of one in the order of their ids", async () => {
    await sealed.exported();
    const { rows } = await sealed.service.database.pool.query<{ id: string; transaction: string }>(
      `INSERT INTO audit_events (at, action, outcome, actor_kind, writer, sequence, transaction, event)
       SELECT at, action, outcome, actor_kind, gen_random_uuid(), 1, number::text::xid8, event
       FROM (SELECT * FROM audit_events ORDER BY id LIMIT 1) AS e, unnest(ARRAY[100, 99, 100]) AS number
       RETURNING id, transaction`,
    );
    // After that: the service's own sealer would move it on before they are there.
    await sealed.tamper("UPDATE audit_sealer SET frontier = '99', frontier_id = 0");
    const lines = await sealed.exported();
    const place = (index: number) => lines.findIndex((line) => line.includes(`"id":"${rows[index]?.id}"`));
    expect([place(0), place(2)]).toEqual([place(1) + 1, place(1) + 2]);
    expect(place(1)).toBeGreaterThan(0);
  });

  it("signs an end once", async () => {
    const [first, second] = [await sealed.exported(), await sealed.exported()];
    expect(second).toEqual(first);
  });
});

describe("the key of the audit", () => {
  it("is one, whoever asks first, and its making is an event", async () => {
    const { rows } = await sealed.service.database.pool.query("SELECT id FROM audit_keys");
    expect(rows).toHaveLength(1);
    const { body } = await sealed.service
      .as(sealed.service.operatorToken)
      .get("/v1/audit?action=signing-key.created")
      .expect(200);
    expect(body.items).toMatchObject([{ actor: { kind: "service" }, outcome: "allowed" }]);
  });
});
