import type { z } from "zod";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams, FilterText, PageQuery, Timestamp } from "../http/contract.js";
import { type Page, pageOf, pageStart } from "../http/page.js";
import { route } from "../http/route.js";
import { auditChainRoutes } from "./chain/routes.js";
import { AuditEvent, AuditEventList } from "./contract.js";
import { listEvents } from "./store.js";

type Reader = { prisma: PrismaClient };

const AuditQuery = PageQuery.extend({
  secret: FilterText(255).optional().meta({ description: "Only events about this secret." }),
  actor: FilterText(64).optional().meta({ description: "Only events of the credential with this id." }),
  action: FilterText(64).optional().meta({ description: "Only this action, such as `registry-token.issued`." }),
  from: Timestamp.optional().meta({ description: "Events from this time on." }),
  to: Timestamp.optional().meta({ description: "Events before this time." }),
});

async function page(
  prisma: PrismaClient,
  factoryId: string | undefined,
  query: z.output<typeof AuditQuery>,
): Promise<Page<z.output<typeof AuditEvent>>> {
  const { secret, actor, action, from, to, pageSize } = query;
  const start = pageStart(query.pageToken, (text) => /^\d{1,18}$/.test(text));
  const before = start === undefined ? undefined : BigInt(start);
  const rows = await listEvents(prisma, { factoryId, secret, actor, action, from, to, before, pageSize });
  return pageOf(rows, pageSize, (row) => String(row.id), eventView);
}

function eventView(row: { id: bigint; event: Uint8Array }): z.output<typeof AuditEvent> {
  return AuditEvent.parse({ ...JSON.parse(Buffer.from(row.event).toString("utf8")), id: String(row.id) });
}

const ofFactory = route(
  {
    id: "listFactoryAudit",
    method: "get",
    path: "/v1/factories/{factory}/audit",
    tag: "Audit",
    summary: "What happened in a factory, newest first",
    auth: { permission: "audit:read" },
    params: FactoryParams,
    query: AuditQuery,
    replies: { 200: { description: "Events.", content: { "application/json": AuditEventList } } },
    problems: [],
  },
  async ({ prisma }: Reader, { factory, query }) => ({ status: 200, body: await page(prisma, factory.id, query) }),
);

const ofInstallation = route(
  {
    id: "listAudit",
    method: "get",
    path: "/v1/audit",
    tag: "Audit",
    summary: "What happened in the whole installation, newest first",
    description: "Events of deleted factories too.",
    auth: "operator",
    query: AuditQuery,
    replies: { 200: { description: "Events.", content: { "application/json": AuditEventList } } },
    problems: [],
  },
  async ({ prisma }: Reader, { query }) => ({ status: 200, body: await page(prisma, undefined, query) }),
);

export const auditRoutes = [ofFactory, ofInstallation, ...auditChainRoutes];
