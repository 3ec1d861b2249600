import { z } from "zod";
import type { PrismaClient } from "../../db/database.js";
import { Timestamp } from "../../http/contract.js";

const SecretUse = z
  .object({
    version: z.int(),
    kind: z.string().meta({ description: "operator, api-token, job, oauth-client, oidc or device." }),
    id: z.string(),
    name: z.string(),
    lastUsedAt: Timestamp,
    tokensUntil: Timestamp.meta({ description: "When the last token that it was given expires." }),
  })
  .meta({ id: "SecretUse", description: "A caller who was given tokens by a version." });

export const SecretUsage = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "The current version." }),
    entries: z.array(z.string()).meta({ description: "Ids of the registry entries that name it." }),
    webhooks: z.array(z.string()).meta({ description: "Where in the factory config a webhook names it." }),
    lastUsedAt: Timestamp.optional(),
    olderTokensUntil: Timestamp.optional().meta({
      description:
        "When the last token of a version that is not current expires. Until then its credential should stay valid in its cloud. Absent: no such token lives.",
    }),
    uses: z.array(SecretUse).meta({ description: "The last 200, latest first; of the last 90 days." }),
  })
  .meta({ id: "SecretUsage" });

const RotationReportItem = z
  .object({
    name: z.string(),
    version: z.int(),
    createdAt: Timestamp,
    rotatedAt: Timestamp.meta({
      description:
        "When this value first became the current one. Writing the same value again does not move it, nor does a rollback.",
    }),
    ageDays: z.int().meta({ description: "Whole days since then." }),
    expiresAt: Timestamp.optional(),
    lastUsedAt: Timestamp.optional().meta({ description: "Absent: not in the last 90 days." }),
    usedByRegistries: z.boolean(),
    stagedVersions: z.int(),
    olderVersionLastUsedAt: Timestamp.optional(),
    olderTokensUntil: Timestamp.optional().meta({ description: "Absent: nothing uses an older version any more." }),
  })
  .meta({ id: "RotationReportItem" });

export const RotationReport = z
  .object({ at: Timestamp, secrets: z.array(RotationReportItem) })
  .meta({ id: "RotationReport", description: "Every secret with its age, and whether an older version is in use." });

export const RotationReportQuery = z.strictObject({
  expiresBefore: Timestamp.optional().meta({ description: "Only those whose credential ends before this time." }),
  unusedSince: Timestamp.optional().meta({ description: "Only those that were not used since this time." }),
  rotatedBefore: Timestamp.optional().meta({ description: "Only those that were last rotated before this time." }),
});

const dayMs = 86_400_000;

type Item = z.input<typeof RotationReport>["secrets"][number];
type Filter = z.output<typeof RotationReportQuery>;

/** A secret as the report shows it at that moment. Tokens that have expired by then are none. */
export function rotationItem(row: RotationRow, at: Date): Item {
  const lives = row.older_tokens_until !== null && row.older_tokens_until > at;
  return {
    name: row.name,
    version: row.version,
    createdAt: row.created_at.toISOString(),
    rotatedAt: row.rotated_at.toISOString(),
    ageDays: Math.max(0, Math.floor((at.getTime() - row.rotated_at.getTime()) / dayMs)),
    usedByRegistries: row.named,
    stagedVersions: row.staged,
    ...(row.expires_at && { expiresAt: row.expires_at.toISOString() }),
    ...(row.last_used_at && { lastUsedAt: row.last_used_at.toISOString() }),
    ...(row.older_last_used_at && { olderVersionLastUsedAt: row.older_last_used_at.toISOString() }),
    ...(lives && row.older_tokens_until && { olderTokensUntil: row.older_tokens_until.toISOString() }),
  };
}

/** Whether the report is to show it. One that was never used counts as unused since it was made. */
export function isWanted(row: RotationRow, { expiresBefore, unusedSince, rotatedBefore }: Filter): boolean {
  if (expiresBefore !== undefined && !(row.expires_at && row.expires_at < new Date(expiresBefore))) return false;
  if (unusedSince !== undefined && (row.last_used_at ?? row.created_at) >= new Date(unusedSince)) return false;
  return rotatedBefore === undefined || row.rotated_at < new Date(rotatedBefore);
}

const columns = [
  "name",
  "version",
  "createdAt",
  "rotatedAt",
  "ageDays",
  "expiresAt",
  "lastUsedAt",
  "usedByRegistries",
  "stagedVersions",
  "olderVersionLastUsedAt",
  "olderTokensUntil",
] as const satisfies readonly (keyof Item)[];

/** The report as RFC 4180 has it. No field needs quotes: a name is letters, digits, `_`, `.` and `-`, and begins with none that a spreadsheet would run. */
export function rotationCsv(items: readonly Item[]): string {
  const lines = items.map((item) => columns.map((column) => String(item[column] ?? "")).join(","));
  return [columns.join(","), ...lines].map((line) => `${line}\r\n`).join("");
}

/** A secret as the rotation report shows it. */
export type RotationRow = {
  name: string;
  version: number;
  created_at: Date;
  rotated_at: Date;
  expires_at: Date | null;
  named: boolean;
  staged: number;
  last_used_at: Date | null;
  older_last_used_at: Date | null;
  older_tokens_until: Date | null;
};

/** All secrets of a factory, by name, or the one of this id. */
export async function readRotation(
  prisma: PrismaClient,
  factoryId: string,
  secretId: string | undefined,
): Promise<RotationRow[]> {
  return prisma.$queryRawUnsafe<RotationRow[]>(
    `SELECT s.name, s.current_version AS version, s.created_at, s.expires_at, s.named,
       COALESCE(current.current_from, s.current_since, current.created_at, s.updated_at) AS rotated_at,
       (SELECT count(*)::int FROM secret_versions v WHERE v.secret_id = s.id AND v.staged) AS staged,
       used.last_used_at, used.older_last_used_at, used.older_tokens_until
     FROM secrets s
     LEFT JOIN secret_versions current ON current.secret_id = s.id AND current.version = s.current_version
     LEFT JOIN LATERAL (
       SELECT max(u.last_used_at) AS last_used_at,
              max(u.last_used_at) FILTER (WHERE u.version <> s.current_version) AS older_last_used_at,
              max(u.tokens_until) FILTER (WHERE u.version <> s.current_version) AS older_tokens_until
       FROM secret_uses u WHERE u.secret_id = s.id
     ) used ON true
     WHERE s.factory_id = $1::uuid AND s.deleted_at IS NULL AND ($2::uuid IS NULL OR s.id = $2::uuid)
     ORDER BY s.name COLLATE "C"`,
    factoryId,
    secretId ?? null,
  );
}
