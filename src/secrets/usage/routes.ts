import { z } from "zod";
import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryParams } from "../../http/contract.js";
import { route } from "../../http/route.js";
import { SecretParams } from "../contract.js";
import { noSecret } from "../versions/change-version.js";
import { findHead } from "../versions/store.js";
import {
  isWanted,
  RotationReport,
  RotationReportQuery,
  readRotation,
  rotationCsv,
  rotationItem,
  SecretUsage,
} from "./rotation-report.js";

import { listUses, type SecretUses } from "./secret-uses.js";

type Reader = { prisma: PrismaClient };

type UsageDeps = Reader & {
  uses: SecretUses;
  /** Where the current config names a secret. */
  mentionsOf(factory: FactoryRef, name: string): Promise<{ entries: string[]; webhooks: string[] }>;
};

const shownUses = 200;

const usage = route(
  {
    id: "getSecretUsage",
    method: "get",
    path: "/v1/factories/{factory}/secrets/{name}/usage",
    tag: "Secrets",
    summary: "What names a secret, and who used which version",
    description: "Uses through another replica show after ten seconds at most.",
    auth: { permission: "secrets:list" },
    params: SecretParams,
    replies: { 200: { description: "The usage.", content: { "application/json": SecretUsage } } },
    problems: ["not-found"],
  },
  async ({ prisma, uses, mentionsOf }: UsageDeps, { factory, params }) => {
    await uses.flush();
    const secret = await findHead(prisma, factory.id, params.name);
    if (!secret) throw noSecret(params.name);
    const [mentions, rows, [rotation]] = await Promise.all([
      mentionsOf(factory, params.name),
      listUses(prisma, secret.id, shownUses),
      readRotation(prisma, factory.id, secret.id),
    ]);
    if (!rotation) throw noSecret(params.name);
    const { version, lastUsedAt, olderTokensUntil } = rotationItem(rotation, databaseNow());
    const body = {
      ...{ name: params.name, version, entries: mentions.entries, webhooks: mentions.webhooks },
      ...(lastUsedAt !== undefined && { lastUsedAt }),
      ...(olderTokensUntil !== undefined && { olderTokensUntil }),
      uses: rows.map((row) => ({
        version: row.version,
        kind: row.actorKind,
        id: row.actorId,
        name: row.actorName,
        lastUsedAt: row.lastUsedAt.toISOString(),
        tokensUntil: row.tokensUntil.toISOString(),
      })),
    };
    return { status: 200, body };
  },
);

const report = route(
  {
    id: "getRotationReport",
    method: "get",
    path: "/v1/factories/{factory}/reports/rotation",
    tag: "Secrets",
    summary: "Every secret: its age, last rotation, and what still uses an older version",
    auth: { permission: "secrets:list" },
    isCostly: true,
    params: FactoryParams,
    query: RotationReportQuery,
    replies: { 200: { description: "By name.", content: { "application/json": RotationReport } } },
    problems: [],
  },
  async (deps: Reporter, { factory, query }) => ({ status: 200, body: await rotationReport(deps, factory, query) }),
);

const reportCsv = route(
  {
    id: "getRotationReportCsv",
    method: "get",
    path: "/v1/factories/{factory}/reports/rotation.csv",
    tag: "Secrets",
    summary: "The rotation report for a spreadsheet",
    auth: { permission: "secrets:list" },
    params: FactoryParams,
    query: RotationReportQuery,
    replies: { 200: { description: "By name.", content: { "text/csv": z.string() } } },
    problems: [],
  },
  async (deps: Reporter, { factory, query }) => ({
    status: 200,
    body: rotationCsv((await rotationReport(deps, factory, query)).secrets),
  }),
);

type Reporter = Reader & { uses: SecretUses };

async function rotationReport(
  { prisma, uses }: Reporter,
  factory: FactoryRef,
  query: z.output<typeof RotationReportQuery>,
): Promise<z.input<typeof RotationReport> & { secrets: ReturnType<typeof rotationItem>[] }> {
  await uses.flush();
  const at = databaseNow();
  const rows = (await readRotation(prisma, factory.id, undefined)).filter((row) => isWanted(row, query));
  return { at: at.toISOString(), secrets: rows.map((row) => rotationItem(row, at)) };
}

export const usageRoutes = [usage, report, reportCsv];
