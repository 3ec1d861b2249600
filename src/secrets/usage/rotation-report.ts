import type { z } from "zod";
import type { RotationReport, RotationReportQuery } from "./contract.js";
import type { RotationRow } from "./store.js";

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
