import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AuditSigningKey } from "../../../src/audit/chain/signing-key.js";
import { verifyExport } from "../../../src/audit/chain/verify-export.js";
import { AuditWriter } from "../../../src/audit/record.js";
import { pruneAudit } from "../../../src/audit/retention/prune.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { type SealedService, signedOf, startSealedService } from "./chain/sealed-service.js";

let sealed: SealedService;
let factory: { id: string; name: string };
beforeAll(async () => {
  sealed = await startSealedService();
  factory = await sealed.service.createFactory();
  await sealed.service.createFactory();
  // Its first checkpoint makes the key, which is an event.
  await sealed.exported();
});
afterAll(() => sealed.service.close());

async function* chunksOf(texts: readonly string[]): AsyncGenerator<string> {
  for (const text of texts) yield `${text}\n`;
}

async function prune(before: Date) {
  const { database, key } = sealed.service;
  const { prisma, pool } = database;
  const keys = await openKeyRing(prisma, { kind: "setting", text: key });
  const audit = new AuditWriter(pool);
  return pruneAudit(
    { prisma, audit, sealer: sealed.sealer, signingKey: new AuditSigningKey({ prisma, keys, audit }) },
    before,
  );
}

describe("retention", () => {
  it("drops what is older, keeps the rest provable, and what was dropped too", async () => {
    const whole = await sealed.exported();
    const before = new Date();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await sealed.service.createApiToken(factory.name, ["audit:read"]);

    const { pruned } = await prune(before);
    expect(pruned?.removed).toBeGreaterThan(2);

    const lines = await sealed.exported();
    const cut = lines.find((line) => line.startsWith('{"type":"cut"'));
    const verified = await verifyExport(chunksOf(lines));
    expect(verified).toMatchObject({ from: (pruned?.through ?? 0) + 1, cut: { before: before.toISOString() } });
    const actions = lines.flatMap((line) => /"event":\{"action":"([^"]+)"/.exec(line)?.[1] ?? []);
    expect(actions).toEqual(expect.arrayContaining(["api-token.created", "audit.pruned"]));
    expect(actions).not.toContain("factory.created");

    const held = signedOf(cut);
    expect(await verifyExport(chunksOf(whole), { held: [held] })).toMatchObject({ held: 1 });
    const other = whole.map((line) => line.replace("factory.created", "factory.deleted"));
    await expect(verifyExport(chunksOf(other), { held: [held] })).rejects.toThrow("is not the one that was sealed");
  });

  it("keeps the chain of each factory whole as well", async () => {
    const verified = await verifyExport(chunksOf(await sealed.exported(factory.id)));
    expect(verified).toMatchObject({ chain: factory.id, from: 2, through: 2, cut: { position: 1 } });
  });

  it("does nothing where nothing is older", async () => {
    expect(await prune(new Date(0))).toMatchObject({ pruned: undefined });
  });

  it("believes the sealed bytes of an event, not the columns beside them", async () => {
    await sealed.service.createApiToken(factory.name, ["audit:read"]);
    const lines = await sealed.exported();
    await sealed.tamper("UPDATE audit_events SET at = '2020-01-01T00:00:00Z'");
    expect(await prune(new Date("2025-01-01T00:00:00Z"))).toMatchObject({ pruned: undefined });
    expect(await sealed.exported()).toEqual(lines);
  });

  it("keeps an event that does not say when it was", async () => {
    await sealed.exported();
    await sealed.service.database.pool.query(
      `INSERT INTO audit_events (at, action, outcome, actor_kind, writer, sequence, event)
       SELECT '2020-01-01T00:00:00Z', action, outcome, actor_kind, gen_random_uuid(), 1, convert_to('{"action":"x"}', 'UTF8')
       FROM audit_events LIMIT 1`,
    );
    await prune(new Date());
    expect((await sealed.exported()).join("")).toContain('"event":{"action":"x"}');
  });

  it.each([
    "DELETE FROM audit_events",
    "DELETE FROM audit_seals",
    "DELETE FROM audit_statements",
    "TRUNCATE audit_seals",
  ])("is the only way: the database refuses %s", async (sql) => {
    await expect(sealed.service.database.pool.query(sql)).rejects.toMatchObject({ code: "42501" });
  });

  it("refuses a cut that names no seal", async () => {
    const cut = {
      chain_id: sealed.installation,
      position: 99,
      hash: "00",
      statement: "00",
      key_id: "x",
      signature: "00",
    };
    await expect(
      sealed.service.database.pool.query("SELECT cut_audit($1)", [JSON.stringify([cut])]),
    ).rejects.toMatchObject({ code: "23514" });
  });
});
