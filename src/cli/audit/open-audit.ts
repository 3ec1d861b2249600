import { AuditSealer } from "../../audit/chain/sealer.js";
import { AuditSigningKey } from "../../audit/chain/signing-key.js";
import { AuditWriter } from "../../audit/record.js";
import type { Database } from "../../db/database.js";
import { openKeys } from "../../service/key-source.js";
import type { Settings } from "../../settings/settings.js";
import { dataDirectoryOf } from "../server-work.js";

/** What a command does with the audit, beside a server that runs. */
export type OpenedAudit = Database & { audit: AuditWriter; signingKey: AuditSigningKey; sealer: AuditSealer };

/** @throws KeyFormatError when the key-encryption key is not the one of this database: checkpoints are signed with it */
export async function openAudit(settings: Settings, database: Database): Promise<OpenedAudit> {
  const { prisma, pool } = database;
  const keys = await openKeys(prisma, settings, dataDirectoryOf(settings));
  const audit = new AuditWriter(pool);
  const signingKey = new AuditSigningKey({ prisma, keys, audit });
  return { ...database, audit, signingKey, sealer: new AuditSealer({ prisma, signingKey, onError: () => undefined }) };
}
