import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { AuditSealer } from "../../../src/audit/chain/sealer.js";
import { AuditSigningKey } from "../../../src/audit/chain/signing-key.js";
import { verifyExport } from "../../../src/audit/chain/verify-export.js";
import { AuditWriter } from "../../../src/audit/record.js";
import { pruneAudit } from "../../../src/audit/retention/prune.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { type SealedService, startSealedService } from "./chain/sealed-service.js";

const role = `pruner_${randomBytes(4).toString("hex")}`;
const password = randomBytes(12).toString("hex");

let sealed: SealedService;
let admin: pg.Client;
let asRole: Database;
beforeAll(async () => {
  sealed = await startSealedService();
  await sealed.service.createFactory();
  await sealed.exported();
  const url = new URL(sealed.service.databaseUrl);
  const adminUrl = new URL(inject("testServer").adminUrl);
  adminUrl.pathname = url.pathname;
  admin = new pg.Client({ connectionString: adminUrl.href });
  await admin.connect();
  // All that the command needs, and no right to delete or to change an event.
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`);
  await admin.query(`GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO ${role}`);
  await admin.query(`GRANT UPDATE ON audit_sealer, audit_chains TO ${role}`);
  await admin.query(`GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ${role}`);
  url.username = role;
  url.password = password;
  asRole = openDatabase({ url: url.href, connections: 2, onError: () => undefined });
});
afterAll(async () => {
  await asRole.close();
  await admin.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  await admin.end();
  await sealed.service.close();
});

async function prune(): Promise<number | undefined> {
  const { prisma, pool } = asRole;
  const keys = await openKeyRing(prisma, { kind: "setting", text: sealed.service.key });
  const audit = new AuditWriter(pool);
  const signingKey = new AuditSigningKey({ prisma, keys, audit });
  const sealer = new AuditSealer({ prisma, signingKey, onError: () => undefined });
  return (await pruneAudit({ prisma, audit, sealer, signingKey }, new Date()))?.pruned?.removed;
}

const refused = expect.objectContaining({ code: "42501" });

describe("a role without the right to delete", () => {
  it("deletes nothing, and may not call the function that does", async () => {
    for (const table of ["audit_events", "audit_seals", "audit_statements"])
      await expect(asRole.pool.query(`DELETE FROM ${table}`)).rejects.toEqual(refused);
    await expect(asRole.pool.query("SELECT cut_audit('[]')")).rejects.toEqual(refused);
    await expect(prune()).rejects.toThrow("permission denied for function cut_audit");
  });

  it("prunes when it is granted that function alone, and the signed cut is in the export", async () => {
    await admin.query(`GRANT EXECUTE ON FUNCTION cut_audit(jsonb) TO ${role}`);
    expect(await prune()).toBeGreaterThan(1);
    await expect(asRole.pool.query("DELETE FROM audit_events")).rejects.toEqual(refused);
    const lines = await sealed.exported();
    async function* chunks() {
      for (const line of lines) yield `${line}\n`;
    }
    await expect(verifyExport(chunks())).resolves.toMatchObject({ cut: { type: "factory-secrets.audit-cut.v1" } });
  });
});
