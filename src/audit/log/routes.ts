import { z } from "zod";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryParams, FilterText, Timestamp } from "../../http/contract.js";
import { route, StreamedText } from "../../http/route.js";
import { pem } from "./checkpoint.js";
import { type ExportReader, exportCef, exportNdjson } from "./export.js";

import { proveEvent } from "./prove.js";
import { installationId, logRange, signedLogs } from "./read-log.js";
import type { AuditSealer } from "./sealer.js";
import { publicKeys } from "./signing-key.js";

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
  description: "One JSON object a line: for each log its keys and the last cut, then events and checkpoints.",
});

type Exporter = { prisma: PrismaClient; sealer: AuditSealer };

/** Events that are sealed while the client waits; a backlog is for the sealer's own rounds. */
const sealedForExport = 10_000;
const description = "The events of each log, oldest first, up to a checkpoint that was signed for this export.";
const exported = { 200: { description, content: { "application/x-ndjson": AuditExportNdjson } } };
const CefLines = z.string().meta({ description: "One CEF event a line." });
const exportedAsCef = { 200: { description, content: { "text/plain": CefLines } } };
const CheckpointNote = z.string().meta({ description: "A signed note in the form of C2SP tlog-checkpoint." });
const checkpointReply = { 200: { description: "The head of the log.", content: { "text/plain": CheckpointNote } } };
const ProofText = z.string().meta({
  description: "In the form of C2SP tlog-proof. The extra data are the bytes of the event: the leaf.",
});
const proofReply = { 200: { description: "An inclusion proof.", content: { "text/plain": ProofText } } };
const ProofQuery = z.strictObject({
  event: FilterText(64).meta({ description: "The id of the event, as the list of the audit or an export shows it." }),
});
const plainText = "text/plain; charset=utf-8";

/** Seals and signs what is there. @returns the installation's id @throws Problem when no event of the log is sealed yet */
async function signNow({ prisma, sealer }: Exporter, factory?: string): Promise<string> {
  await sealer.seal({ maxEvents: sealedForExport });
  await sealer.sign();
  const installation = await installationId(prisma);
  if (installation === undefined || (await logRange(prisma, factory ?? installation)) === undefined)
    throw new Problem("unavailable", "No event of this log is sealed yet. Try again.", { retryAfterSeconds: 1 });
  return installation;
}

type Writer = (prisma: PrismaClient, logs: readonly string[], reader: ExportReader) => AsyncGenerator<string>;

async function exportAll(deps: Exporter, write: Writer) {
  const logs = await signedLogs(deps.prisma, await signNow(deps));
  return { status: 200 as const, body: new StreamedText(write(deps.prisma, logs, "installation")) };
}

async function exportOne(deps: Exporter, factory: string, write: Writer) {
  await signNow(deps, factory);
  return { status: 200 as const, body: new StreamedText(write(deps.prisma, [factory], "factory")) };
}

async function checkpointOf(deps: Exporter, factory?: string) {
  const installation = await signNow(deps, factory);
  const range = await logRange(deps.prisma, factory ?? installation);
  const headers = { "Content-Type": plainText };
  return { status: 200 as const, body: range?.end.note ?? "", headers };
}

async function proofOf(deps: Exporter, id: string, factory?: string) {
  await signNow(deps, factory);
  const body = await proveEvent(deps.prisma, { id, factory });
  if (body === undefined)
    throw new Problem("not-found", "No sealed event has this id. One that was just written is sealed within seconds.");
  return { status: 200 as const, body, headers: { "Content-Type": plainText } };
}

const common = { method: "get", tag: "Audit", isCostly: true } as const;
const installationRoute = { ...common, auth: "operator" } as const;
const factoryRoute = { ...common, auth: { permission: "audit:read" }, params: FactoryParams } as const;

const ofInstallation = route(
  {
    ...installationRoute,
    id: "exportAudit",
    path: "/v1/audit/export",
    summary: "The whole audit, to be verified elsewhere",
    description:
      "Streamed: the log of the installation, then those of all factories. Verify it: `factory-secrets audit verify --file EXPORT --public-key PEM`.",
    replies: exported,
    problems: [],
  },
  async (deps: Exporter) => exportAll(deps, exportNdjson),
);

const ofFactory = route(
  {
    ...factoryRoute,
    id: "exportFactoryAudit",
    path: "/v1/factories/{factory}/audit/export",
    summary: "The audit of a factory, to be verified elsewhere",
    description:
      "Streamed. A factory has a log of its own: its export shows that no event of the factory is missing, and nothing of other factories.",
    replies: exported,
    problems: [],
  },
  async (deps: Exporter, { factory }) => exportOne(deps, factory.id, exportNdjson),
);

const cefDescription = "Streamed. For a SIEM: it proves nothing, and lists are left out.";

const ofInstallationAsCef = route(
  {
    ...installationRoute,
    id: "exportAuditAsCef",
    path: "/v1/audit/export.cef",
    summary: "The whole audit as CEF",
    description: cefDescription,
    replies: exportedAsCef,
    problems: [],
  },
  async (deps: Exporter) => exportAll(deps, exportCef),
);

const ofFactoryAsCef = route(
  {
    ...factoryRoute,
    id: "exportFactoryAuditAsCef",
    path: "/v1/factories/{factory}/audit/export.cef",
    summary: "The audit of a factory as CEF",
    description: cefDescription,
    replies: exportedAsCef,
    problems: [],
  },
  async (deps: Exporter, { factory }) => exportOne(deps, factory.id, exportCef),
);

const checkpointDescription =
  "Signs the log as it is now, unless that is signed already. Keep a checkpoint elsewhere: `audit verify --checkpoint` then finds a log that was rewritten or truncated.";

const installationCheckpoint = route(
  {
    ...installationRoute,
    id: "getAuditCheckpoint",
    path: "/v1/audit/checkpoint",
    summary: "The signed checkpoint of the installation's log",
    description: checkpointDescription,
    replies: checkpointReply,
    problems: [],
  },
  async (deps: Exporter) => checkpointOf(deps),
);

const factoryCheckpoint = route(
  {
    ...factoryRoute,
    id: "getFactoryAuditCheckpoint",
    path: "/v1/factories/{factory}/audit/checkpoint",
    summary: "The signed checkpoint of a factory's log",
    description: checkpointDescription,
    replies: checkpointReply,
    problems: [],
  },
  async (deps: Exporter, { factory }) => checkpointOf(deps, factory.id),
);

const installationProof = route(
  {
    ...installationRoute,
    id: "getAuditProof",
    path: "/v1/audit/proof",
    summary: "Proof that an event is in its log",
    description: "Of any event, whichever log it is in.",
    query: ProofQuery,
    replies: proofReply,
    problems: ["not-found"],
  },
  async (deps: Exporter, { query }) => proofOf(deps, query.event),
);

const factoryProof = route(
  {
    ...factoryRoute,
    id: "getFactoryAuditProof",
    path: "/v1/factories/{factory}/audit/proof",
    summary: "Proof that an event is in the log of its factory",
    query: ProofQuery,
    replies: proofReply,
    problems: ["not-found"],
  },
  async (deps: Exporter, { factory, query }) => proofOf(deps, query.event, factory.id),
);

const checkpointKeys = route(
  {
    id: "listAuditCheckpointKeys",
    method: "get",
    path: "/v1/audit/checkpoint-keys",
    tag: "Audit",
    summary: "The public keys that sign the audit",
    description: "Keep a copy elsewhere: they come from the database.",
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

export const auditLogRoutes = [
  ofInstallation,
  ofFactory,
  ofInstallationAsCef,
  ofFactoryAsCef,
  installationCheckpoint,
  factoryCheckpoint,
  installationProof,
  factoryProof,
  checkpointKeys,
];
