import { readExportLine } from "../../../../src/audit/chain/export-format.js";
import { exportNdjson, exportRange } from "../../../../src/audit/chain/export-lines.js";
import { AuditSealer } from "../../../../src/audit/chain/sealer.js";
import { AuditSigningKey } from "../../../../src/audit/chain/signing-key.js";
import type { SignedStatement } from "../../../../src/audit/chain/statement.js";
import { AuditWriter } from "../../../../src/audit/record.js";
import { pruneAudit } from "../../../../src/audit/retention/prune.js";
import { openKeyRing } from "../../../../src/crypto/open-key-ring.js";
import { earlierTransactionsEnded } from "../../../support/earlier-transactions.js";
import { startOwnTestService, type TestService } from "../../../support/test-service.js";

/** A service, and a sealer of the test's own beside the one that runs in it: it seals when it is told to. */
export type SealedService = {
  service: TestService;
  sealer: AuditSealer;
  signingKey: AuditSigningKey;
  installation: string;
  /** Seals all that is committed. */
  seal(): Promise<void>;
  /** Seals, signs the end, and gives the lines of the export of a chain. */
  exported(chain?: string): Promise<string[]>;
  /** Runs SQL with the triggers off, as the owner of the tables can. */
  tamper(sql: string, values?: unknown[]): Promise<void>;
};

export async function startSealedService(environment: Record<string, string> = {}): Promise<SealedService> {
  const service = await startOwnTestService(environment);
  const { prisma, pool } = service.database;
  const keys = await openKeyRing(prisma, { kind: "setting", text: service.key });
  const signingKey = new AuditSigningKey({ prisma, keys, audit: new AuditWriter(pool) });
  const sealer = new AuditSealer({
    prisma,
    signingKey,
    onError: (error) => {
      throw error;
    },
  });
  const { rows } = await pool.query<{ id: string }>("SELECT id FROM installation");
  const installation = rows[0]?.id ?? "";
  const seal = async () => {
    await earlierTransactionsEnded(service.database);
    await sealer.seal();
  };
  return {
    service,
    sealer,
    signingKey,
    installation,
    seal,
    async exported(chain = installation) {
      await seal();
      await sealer.checkpoint(chain);
      return storedLines(service, chain);
    },
    async tamper(sql, values = []) {
      const tables = ["audit_events", "audit_seals", "audit_statements"];
      for (const table of tables) await pool.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
      await pool.query(sql, values);
      for (const table of tables) await pool.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`);
    },
  };
}

/** Drops what is there, and goes on behind the cut. */
export async function prune({ service, sealer, signingKey, exported }: SealedService): Promise<void> {
  const { prisma, pool } = service.database;
  const audit = new AuditWriter(pool);
  await pruneAudit({ prisma, audit, sealer, signingKey }, new Date());
  await service.createApiToken("acme", ["audit:read"]);
  await exported();
}

/** The lines of an export as the database is now, signed or not. */
export async function storedLines(service: TestService, chain: string): Promise<string[]> {
  const { prisma } = service.database;
  const range = await exportRange(prisma, chain);
  if (range === undefined) throw new Error("no checkpoint was signed");
  let text = "";
  for await (const chunk of exportNdjson(prisma, range)) text += chunk;
  return text.split("\n").slice(0, -1);
}

/** The statement in a line of an export. */
export function signedOf(line: string | undefined): SignedStatement {
  const read = readExportLine(line ?? "");
  if (read === undefined || !("signed" in read)) throw new Error("this is no signed line");
  return read.signed;
}
