import { z } from "zod";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryParams, Timestamp } from "../../http/contract.js";
import { route, StreamedText } from "../../http/route.js";
import { exportCef, exportNdjson, exportRange } from "./export-lines.js";
import { publicKeys } from "./keys/store.js";
import { pem } from "./public-keys.js";
import type { AuditSealer } from "./sealer.js";
import { installationId } from "./store.js";

const AuditCheckpointKey = z
  .object({
    id: z.string().meta({ description: "SHA-256 of the key (SPKI, DER) in hexadecimal." }),
    state: z.enum(["active", "retired"]).meta({ id: "AuditCheckpointKeyState" }),
    algorithm: z.literal("Ed25519"),
    publicKey: z.string().meta({ description: "PEM." }),
    createdAt: Timestamp,
  })
  .meta({ id: "AuditCheckpointKey" });

const AuditCheckpointKeyList = z
  .object({ items: z.array(AuditCheckpointKey) })
  .meta({ id: "AuditCheckpointKeyList", description: "The public keys that sign the audit, the oldest first." });

const AuditExportNdjson = z.string().meta({
  id: "AuditExportNdjson",
  description: "One JSON object a line: keys, the signed end, the last cut, then events and checkpoints.",
});

type Exporter = { prisma: PrismaClient; sealer: AuditSealer };

/** Events that are sealed while the client waits; a backlog is for the sealer's own rounds. */
const sealedForExport = 10_000;
const description = "The events, oldest first, up to a checkpoint that was signed for this export.";
const exported = { 200: { description, content: { "application/x-ndjson": AuditExportNdjson } } };
const CefLines = z.string().meta({ description: "One CEF event a line." });
const exportedAsCef = { 200: { description, content: { "text/plain": CefLines } } };
const nothingSealed = () =>
  new Problem("unavailable", "No event of this chain is sealed yet. Try again.", { retryAfterSeconds: 1 });

async function rangeToExport({ prisma, sealer }: Exporter, chain: string | undefined) {
  await sealer.seal({ maxEvents: sealedForExport });
  if (chain === undefined || !(await sealer.checkpoint(chain))) throw nothingSealed();
  const range = await exportRange(prisma, chain);
  if (range === undefined) throw nothingSealed();
  return range;
}

async function exportChain(deps: Exporter, chain: string | undefined) {
  const body = new StreamedText(exportNdjson(deps.prisma, await rangeToExport(deps, chain)));
  return { status: 200 as const, body };
}

async function exportChainAsCef(deps: Exporter, chain: string | undefined) {
  const body = new StreamedText(exportCef(deps.prisma, await rangeToExport(deps, chain)));
  return { status: 200 as const, body };
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
    replies: exported,
    problems: [],
  },
  async (deps: Exporter) => exportChain(deps, await installationId(deps.prisma)),
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
    replies: exported,
    problems: [],
  },
  async (deps: Exporter, { factory }) => exportChain(deps, factory.id),
);

const cefDescription = "Streamed. For a SIEM: it proves nothing, and lists are left out.";

const ofInstallationAsCef = route(
  {
    id: "exportAuditAsCef",
    method: "get",
    path: "/v1/audit/export.cef",
    tag: "Audit",
    summary: "The whole audit as CEF",
    description: cefDescription,
    auth: "operator",
    replies: exportedAsCef,
    problems: [],
  },
  async (deps: Exporter) => exportChainAsCef(deps, await installationId(deps.prisma)),
);

const ofFactoryAsCef = route(
  {
    id: "exportFactoryAuditAsCef",
    method: "get",
    path: "/v1/factories/{factory}/audit/export.cef",
    tag: "Audit",
    summary: "The audit of a factory as CEF",
    description: cefDescription,
    auth: { permission: "audit:read" },
    params: FactoryParams,
    replies: exportedAsCef,
    problems: [],
  },
  async (deps: Exporter, { factory }) => exportChainAsCef(deps, factory.id),
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

export const auditChainRoutes = [ofInstallation, ofFactory, ofInstallationAsCef, ofFactoryAsCef, checkpointKeys];
