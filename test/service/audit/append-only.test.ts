import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuditEvent, canonicalBytes } from "../../../src/audit/events.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";

let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService();
  await service.createFactory();
});
afterAll(() => service.close());

describe("audit rows", () => {
  it.each([
    ["UPDATE", "UPDATE audit_events SET outcome = 'allowed'"],
    [
      "UPDATE of nothing but a helper column",
      "UPDATE audit_events SET secret = NULL WHERE id = (SELECT min(id) FROM audit_events)",
    ],
    ["DELETE", "DELETE FROM audit_events"],
    ["TRUNCATE", "TRUNCATE audit_events"],
    ["TRUNCATE of everything", "TRUNCATE audit_events, secrets CASCADE"],
    ["MERGE", "MERGE INTO audit_events a USING installation i ON true WHEN MATCHED THEN DELETE"],
    [
      "an upsert",
      "INSERT INTO audit_events SELECT * FROM audit_events ON CONFLICT (id) DO UPDATE SET outcome = 'failed'",
    ],
  ])("refuse %s by whoever the service is to the database", async (_what, sql) => {
    const { pool } = service.database;
    const count = async () =>
      (await pool.query("SELECT md5(string_agg(a::text, '' ORDER BY id)) AS sum FROM audit_events a")).rows;
    const before = await count();
    await expect(pool.query(sql)).rejects.toMatchObject({ code: "42501", message: "audit_events is only appended to" });
    expect(await count()).toEqual(before);
  });

  it("name their writer, and number each of its events once", async () => {
    const { rows } = await service.database.pool.query<{ writer: string; numbers: string[] }>(
      "SELECT writer, array_agg(sequence ORDER BY id) AS numbers FROM audit_events GROUP BY writer",
    );
    expect(rows.length).toBeGreaterThan(0);
    for (const { numbers } of rows) expect(new Set(numbers).size).toBe(numbers.length);
  });
});

describe("the canonical bytes of an event", () => {
  const event: AuditEvent = {
    at: new Date("2026-11-24T12:00:00.000Z"),
    outcome: "allowed",
    actor: { kind: "api-token", id: "id-1", name: 'a "quoted" naïve name' },
    factory: { id: "id-2", name: "acme" },
    requestId: "r-1",
    address: "127.0.0.1",
    body: {
      action: "job.opened",
      credential: { id: "id-3", name: "job" },
      grants: [{ registry: "ghcr.io", repositories: ["b", "a"], actions: ["pull"] }],
      expiresAt: "2026-11-24T13:00:00.000Z",
    },
  };
  const pinned =
    '{"action":"job.opened","actor":{"id":"id-1","kind":"api-token","name":"a \\"quoted\\" naïve name"},"address":"127.0.0.1",' +
    '"at":"2026-11-24T12:00:00.000Z","credential":{"id":"id-3","name":"job"},"expiresAt":"2026-11-24T13:00:00.000Z",' +
    '"factory":{"id":"id-2","name":"acme"},"grants":[{"actions":["pull"],"registry":"ghcr.io","repositories":["b","a"]}],' +
    '"outcome":"allowed","requestId":"r-1"}';

  it("are these, for ever", () => {
    expect(canonicalBytes(event)).toBe(pinned);
  });

  it("do not depend on the order in which members were written", () => {
    const { body, actor, ...rest } = event;
    const turned = Object.fromEntries(Object.entries(body).toReversed());
    const again = {
      body: { ...body, ...turned },
      actor: { name: actor.name, id: actor.id, kind: actor.kind },
      ...rest,
    };
    expect(canonicalBytes(again)).toBe(pinned);
  });

  it("leave out what is absent", () => {
    const { factory: _factory, requestId: _requestId, ...rest } = event;
    const text = canonicalBytes(rest);
    expect(text).not.toContain("undefined");
    expect(Object.keys(JSON.parse(text))).not.toContain("factory");
  });

  it("are what the database keeps, byte for byte", async () => {
    const { rows } = await service.database.pool.query<{ event: Buffer }>("SELECT event FROM audit_events");
    for (const { event: bytes } of rows) {
      const text = bytes.toString("utf8");
      const members = Object.keys(JSON.parse(text));
      expect(members).toEqual(members.toSorted());
      expect(text).toBe(JSON.stringify(JSON.parse(text)));
    }
  });
});
