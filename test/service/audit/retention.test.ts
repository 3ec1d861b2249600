import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  breakOf,
  eventsIn,
  notesIn,
  type SealedService,
  startSealedService,
  verifyLines,
} from "./log/sealed-service.js";

let sealed: SealedService;
let factory: { id: string; name: string };
beforeAll(async () => {
  sealed = await startSealedService();
  factory = await sealed.service.createFactory();
  await sealed.service.createFactory();
  await sealed.exported();
});
afterAll(() => sealed.service.close());

describe("a prune", () => {
  it("drops nothing that no checkpoint of before that time covers", async () => {
    const before = await sealed.exported();
    expect(await sealed.prune(new Date(0))).toBe(0);
    expect(await sealed.exported()).toEqual(before);
  });

  it("drops what such a checkpoint covers; verification and proofs go on behind it", async () => {
    await sealed.service.createApiToken(factory.name, ["audit:read"]);
    const whole = await sealed.exported(factory.id);
    const until = new Date();
    await sealed.service.createApiToken(factory.name, ["audit:read"]);
    await sealed.seal();
    expect(await sealed.prune(until)).toBeGreaterThan(2);

    const lines = await sealed.exported(factory.id);
    expect(lines[1]).toMatch(/^\{"type":"cut","note":/);
    expect(await verifyLines(lines)).toMatchObject([{ from: 2, size: 3, kept: 0 }]);
    expect(eventsIn(lines)).toHaveLength(1);
    for (const log of await verifyLines(await sealed.exported())) expect(log.from).toBeGreaterThan(0);

    const path = `/v1/factories/${factory.name}/audit`;
    const { body } = await sealed.service.as(sealed.service.operatorToken).get(path);
    expect(body.items).toHaveLength(1);
    const proof = await sealed.service
      .as(sealed.service.operatorToken)
      .get(`${path}/proof`)
      .query({ event: body.items[0].id });
    expect(proof.text).toContain("\nindex 2\n");

    // The dropped part: its old export is genuine when the cut is its checkpoint.
    const cut: string = JSON.parse(lines[1] ?? "").note;
    expect(await verifyLines(whole, { kept: [cut] })).toMatchObject([{ kept: 1 }]);
    expect(await verifyLines(lines, { kept: notesIn(whole) })).toMatchObject([{ kept: 1, keptBeforeCut: 1 }]);
    const altered = lines.with(1, (lines[1] ?? "").replace(/"edge":\["./, '"edge":["='));
    expect(await breakOf(altered)).toContain("the cut");
  });

  it("is an event of the installation, with how many went", async () => {
    const { body } = await sealed.service.as(sealed.service.operatorToken).get("/v1/audit?action=audit.pruned");
    expect(body.items).toMatchObject([{ count: expect.any(Number), before: expect.any(String) }]);
  });

  it("leaves a log of which everything went, and it goes on", async () => {
    await sealed.exported();
    await sealed.prune();
    expect(await verifyLines(await sealed.exported(factory.id))).toMatchObject([{ from: 3, size: 3 }]);
    await sealed.service.createApiToken(factory.name, ["audit:read"]);
    expect(await verifyLines(await sealed.exported(factory.id))).toMatchObject([{ from: 3, size: 4 }]);
  });

  it.each([
    "DELETE FROM audit_events",
    "DELETE FROM audit_seals",
    "DELETE FROM audit_checkpoints WHERE size = (SELECT max(size) FROM audit_checkpoints)",
    "UPDATE audit_seals SET leaf_index = 0",
    "UPDATE audit_checkpoints SET note = ''",
    "TRUNCATE audit_seals",
    "TRUNCATE audit_checkpoints CASCADE",
  ])("is the only way: the database refuses %s", async (sql) => {
    await sealed.service.createApiToken(factory.name, ["audit:read"]);
    await sealed.exported();
    await expect(sealed.service.database.pool.query(sql)).rejects.toMatchObject({ code: "42501" });
  });
});
