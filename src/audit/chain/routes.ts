import { z } from "zod";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryParams } from "../../http/contract.js";
import { route, StreamedText } from "../../http/route.js";
import { AuditCheckpointKeyList, AuditExportNdjson } from "./contract.js";
import { exportCef, exportNdjson, exportRange } from "./export-lines.js";
import { publicKeys } from "./keys/store.js";
import { pem } from "./public-keys.js";
import type { AuditSealer } from "./sealer.js";
import { installationId } from "./store.js";

type Exporter = { prisma: PrismaClient; sealer: AuditSealer };

/** Events that are sealed while the client waits; a backlog is for the sealer's own rounds. */
const sealedForExport = 10_000;
const ndjson = "application/x-ndjson";
const exported = {
  200: {
    description: "The events, oldest first, up to a checkpoint that was signed for this export.",
    content: {
      [ndjson]: AuditExportNdjson,
      "text/plain": z.string().meta({ description: "One CEF event a line." }),
    },
  },
};
const ExportQuery = z.strictObject({
  format: z
    .enum(["ndjson", "cef"])
    .default("ndjson")
    .meta({ description: "`ndjson` can be verified, offline too; `cef` is for a SIEM and proves nothing." }),
});
const nothingSealed = () =>
  new Problem("unavailable", "No event of this chain is sealed yet. Try again.", { retryAfterSeconds: 1 });

async function exportChain({ prisma, sealer }: Exporter, chain: string | undefined, format: "ndjson" | "cef") {
  await sealer.seal({ maxEvents: sealedForExport });
  if (chain === undefined || !(await sealer.checkpoint(chain))) throw nothingSealed();
  const range = await exportRange(prisma, chain);
  if (range === undefined) throw nothingSealed();
  return format === "cef"
    ? { status: 200 as const, mediaType: "text/plain", body: new StreamedText(exportCef(prisma, range)) }
    : { status: 200 as const, mediaType: ndjson, body: new StreamedText(exportNdjson(prisma, range)) };
}

const ofInstallation = route(
  {
    id: "exportAudit",
    method: "get",
    path: "/v1/audit/export",
    tag: "Audit",
    summary: "The whole audit, to be verified elsewhere",
    description: "Streamed. Verify it: `npx factory-secrets audit verify --file <export> --public-key <PEM>`.",
    auth: "operator",
    isCostly: true,
    query: ExportQuery,
    replies: exported,
    problems: [],
  },
  async (deps: Exporter, { query }) => exportChain(deps, await installationId(deps.prisma), query.format),
);

const ofFactory = route(
  {
    id: "exportFactoryAudit",
    method: "get",
    path: "/v1/factories/{factory}/audit/export",
    tag: "Audit",
    summary: "The audit of a factory, to be verified elsewhere",
    description:
      "Streamed. A factory has a chain of its own: its export shows that no event of the factory is missing, and nothing of other factories.",
    auth: { permission: "audit:read" },
    isCostly: true,
    params: FactoryParams,
    query: ExportQuery,
    replies: exported,
    problems: [],
  },
  async (deps: Exporter, { factory, query }) => exportChain(deps, factory.id, query.format),
);

const checkpointKeys = route(
  {
    id: "listAuditCheckpointKeys",
    method: "get",
    path: "/v1/audit/checkpoint-keys",
    tag: "Audit",
    summary: "The public keys that sign the audit",
    description: "Keep a copy elsewhere: who can change the database can change what stands here.",
    auth: "anyone",
    replies: { 200: { description: "Keys.", content: { "application/json": AuditCheckpointKeyList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Exporter, "prisma">) => {
    const items = (await publicKeys(prisma)).map((key) => ({
      id: key.id,
      state: key.state === "active" ? ("active" as const) : ("retired" as const),
      algorithm: "Ed25519" as const,
      publicKey: pem(key.publicKey),
      createdAt: key.createdAt.toISOString(),
    }));
    return { status: 200, body: { items } };
  },
);

export const auditChainRoutes = [ofInstallation, ofFactory, checkpointKeys];
