import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuditShipper } from "../../../src/audit/shipping/shipper.js";
import { syslogFrame } from "../../../src/audit/shipping/syslog.js";
import { breakOf, type SealedService, startSealedService, storedLines } from "./log/sealed-service.js";

let sealed: SealedService;
/** The event of the second factory. */
let damagedId: string;
beforeAll(async () => {
  sealed = await startSealedService();
  for (const name of ["one", "two", "three"]) await sealed.service.createFactory(name);
  await sealed.exported();
  const { rows } = await sealed.service.database.pool.query<{ id: string }>(
    `SELECT id FROM audit_events WHERE convert_from(event, 'UTF8') LIKE '%"name":"two"%'`,
  );
  damagedId = rows[0]?.id ?? "";
});
afterAll(() => sealed.service.close());

const hex = (text: string) => Buffer.from(text, "utf8").toString("hex");

describe.each([
  ["not UTF-8", "7b22ff227d"],
  ["not JSON", hex('{"action":\n')],
  ["empty", ""],
  ["not an object", hex("7")],
  ["JSON with a line feed", hex('{"action":\n"x"}')],
  ["JSON that says less than an event", hex('{"action":"x"}')],
])("an event whose bytes are %s", (_what, bytes) => {
  beforeAll(() => sealed.tamper("UPDATE audit_events SET event = decode($1, 'hex') WHERE id = $2", [bytes, damagedId]));

  it("is found, and hides no other from an export", async () => {
    const lines = await storedLines(sealed.service);
    expect(lines.join("")).toContain('"name":"three"');
    expect(await breakOf(lines)).toContain("alteration: ");
  });

  it("hides no other from the list, and is shown by its columns", async () => {
    const { body } = await sealed.service.as(sealed.service.operatorToken).get("/v1/audit").expect(200);
    expect(body.items.length).toBeGreaterThan(3);
    const damaged = body.items.filter((item: object) => "damaged" in item);
    expect(damaged).toMatchObject([{ id: damagedId, action: "factory.created", outcome: "allowed", damaged: true }]);
  });

  it("holds up nothing that is shipped", async () => {
    let shipped = "";
    const deliver = async (text: string) => {
      shipped += text;
    };
    const target = { id: `to-${_what}`, label: "t", deliver };
    const { prisma } = sealed.service.database;
    await new AuditShipper({ prisma, targets: [target], onError: () => undefined }).ship(target);
    const lines = shipped.split("\n").slice(0, -1);
    expect(lines.map((line) => syslogFrame(line, new Date()))).toHaveLength(lines.length);
    expect(shipped).toContain('"name":"three"');
  });
});
