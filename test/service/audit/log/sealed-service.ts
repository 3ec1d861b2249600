import { exportNdjson } from "../../../../src/audit/log/export.js";
import { pruneAudit } from "../../../../src/audit/log/prune.js";
import { logRange, signedLogs } from "../../../../src/audit/log/read-log.js";
import { AuditSealer } from "../../../../src/audit/log/sealer.js";
import { AuditSigningKey } from "../../../../src/audit/log/signing-key.js";
import { AuditBroken, type VerifyOptions, verifyExport } from "../../../../src/audit/log/verify.js";
import { AuditWriter } from "../../../../src/audit/record.js";
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
  /** Seals, signs, and gives the lines of the export of a log, or of all. */
  exported(log?: string): Promise<string[]>;
  /** Seals, signs, and gives the checkpoint of a log. */
  checkpoint(log: string): Promise<string>;
  prune(before?: Date): Promise<number>;
  /** Runs SQL with the triggers off, as the owner of the tables can. */
  tamper(sql: string, values?: unknown[]): Promise<void>;
};

export async function startSealedService(environment: Record<string, string> = {}): Promise<SealedService> {
  const service = await startOwnTestService(environment);
  const { prisma, pool } = service.database;
  const keys = await openKeyRing(prisma, { kind: "setting", text: service.key });
  const audit = new AuditWriter(pool);
  const signingKey = new AuditSigningKey({ prisma, keys, audit });
  const onError = (error: unknown) => {
    throw error;
  };
  const sealer = new AuditSealer({ prisma, signingKey, onError });
  const { rows } = await pool.query<{ id: string }>("SELECT id FROM installation");
  const installation = rows[0]?.id ?? "";
  const seal = async () => {
    await earlierTransactionsEnded(service.database);
    await sealer.seal();
  };
  const sign = async () => {
    await seal();
    await sealer.sign();
  };
  return {
    service,
    sealer,
    signingKey,
    installation,
    seal,
    async exported(log) {
      await sign();
      return storedLines(service, log);
    },
    async checkpoint(log) {
      await sign();
      const range = await logRange(prisma, log);
      if (range === undefined) throw new Error("no checkpoint was signed");
      return range.end.note;
    },
    prune: (before = new Date()) => pruneAudit({ prisma, audit }, before),
    async tamper(sql, values = []) {
      const tables = ["audit_events", "audit_seals", "audit_checkpoints"];
      for (const table of tables) await pool.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
      await pool.query(sql, values);
      for (const table of tables) await pool.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`);
    },
  };
}

/** The lines of an export as the database is now. */
export async function storedLines({ database }: Pick<TestService, "database">, log?: string): Promise<string[]> {
  const { prisma } = database;
  const { id } = await prisma.installation.findFirstOrThrow();
  const logs = log === undefined ? await signedLogs(prisma, id) : [log];
  let text = "";
  for await (const chunk of exportNdjson(prisma, logs, log === undefined ? "installation" : "factory")) text += chunk;
  return text.split("\n").slice(0, -1);
}

async function* chunksOf(texts: readonly string[]): AsyncGenerator<string> {
  for (const text of texts) yield `${text}\n`;
}

export const verifyLines = (lines: readonly string[], options?: VerifyOptions) =>
  verifyExport(chunksOf(lines), options);

/** Why an export is rejected. */
export async function breakOf(lines: readonly string[], options?: VerifyOptions): Promise<string> {
  return verifyLines(lines, options).then(
    () => "it holds",
    (error: unknown) => {
      if (error instanceof AuditBroken) return error.reason;
      throw error;
    },
  );
}

/** The lines of events. */
export const eventsIn = (lines: readonly string[]) => lines.filter((line) => line.startsWith('{"type":"event"'));

/** The signed notes of the checkpoints in an export. */
export const notesIn = (lines: readonly string[]): string[] =>
  lines.filter((line) => line.startsWith('{"type":"checkpoint"')).map((line) => JSON.parse(line).note);
