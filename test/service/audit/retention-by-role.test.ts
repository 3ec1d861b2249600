import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { pruneAudit } from "../../../src/audit/log/prune.js";
import { AuditWriter } from "../../../src/audit/record.js";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { type SealedService, startSealedService, verifyLines } from "./log/sealed-service.js";

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
  await admin.query(`GRANT UPDATE ON audit_sealer, audit_logs TO ${role}`);
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

const prune = () => pruneAudit({ prisma: asRole.prisma, audit: new AuditWriter(asRole.pool) }, new Date());

const refused = expect.objectContaining({ code: "42501" });

describe("a role without the right to delete", () => {
  it("deletes nothing, and may not call the function that does", async () => {
    for (const table of ["audit_events", "audit_seals", "audit_checkpoints"])
      await expect(asRole.pool.query(`DELETE FROM ${table}`)).rejects.toEqual(refused);
    await expect(asRole.pool.query("SELECT prune_audit(now(), 1)")).rejects.toEqual(refused);
    await expect(prune()).rejects.toThrow("permission denied for function prune_audit");
  });

  it("prunes when it is granted that function alone, and the cut is in the export", async () => {
    await admin.query(`GRANT EXECUTE ON FUNCTION prune_audit(timestamptz, integer) TO ${role}`);
    expect(await prune()).toBeGreaterThan(1);
    await expect(asRole.pool.query("DELETE FROM audit_events")).rejects.toEqual(refused);
    const [installation] = await verifyLines(await sealed.exported());
    expect(installation?.from).toBeGreaterThan(0);
  });
});
