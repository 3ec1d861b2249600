import { resolve } from "node:path";
import { AuditSealer } from "../../audit/chain/sealer.js";
import { AuditSigningKey } from "../../audit/chain/signing-key.js";
import { AuditWriter } from "../../audit/record.js";
import { openKeyRing } from "../../crypto/open-key-ring.js";
import type { Database } from "../../db/database.js";
import { keySource } from "../../key-source.js";
import type { Settings } from "../../settings.js";

/** What a command does with the audit, beside a server that runs. */
export type OpenedAudit = Database & { audit: AuditWriter; signingKey: AuditSigningKey; sealer: AuditSealer };

/** @throws KeyFormatError when the key-encryption key is not the one of this database: checkpoints are signed with it */
export async function openAudit(settings: Settings, database: Database): Promise<OpenedAudit> {
  const { prisma, pool } = database;
  const embedded = settings.database.kind === "embedded" ? resolve(settings.database.dataDirectory) : undefined;
  const keys = await openKeyRing(prisma, keySource(settings, embedded));
  const audit = new AuditWriter(pool);
  const signingKey = new AuditSigningKey({ prisma, keys, audit });
  return { ...database, audit, signingKey, sealer: new AuditSealer({ prisma, signingKey, onError: () => undefined }) };
}
