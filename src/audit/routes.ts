import type { z } from "zod";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams, FilterText, PageQuery, Timestamp } from "../http/contract.js";
import { type Page, pageOf, pageStart } from "../http/page.js";
import { route } from "../http/route.js";
import { readEvent } from "./chain/read-event.js";
import { auditChainRoutes } from "./chain/routes.js";
import { AuditEvent, AuditEventList } from "./contract.js";
import { columnsOfEvents, type EventColumns, listEvents } from "./store.js";

type Reader = { prisma: PrismaClient };

const AuditQuery = PageQuery.extend({
  secret: FilterText(255).optional().meta({ description: "Only events about this secret." }),
  actor: FilterText(64).optional().meta({ description: "Only events of the credential with this id." }),
  action: FilterText(64).optional().meta({ description: "Only this action, such as `registry-token.issued`." }),
  from: Timestamp.optional().meta({ description: "Events from this time on." }),
  to: Timestamp.optional().meta({ description: "Events before this time." }),
});

/** Whoever puts an event into the database chooses its id: any that Postgres holds. */
const isEventId = (text: string): boolean =>
  /^-?\d{1,19}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

async function page(
  prisma: PrismaClient,
  factoryId: string | undefined,
  query: z.output<typeof AuditQuery>,
): Promise<Page<z.output<typeof AuditEvent>>> {
  const { secret, actor, action, from, to, pageSize } = query;
  const start = pageStart(query.pageToken, isEventId);
  const before = start === undefined ? undefined : BigInt(start);
  const rows = await listEvents(prisma, { factoryId, secret, actor, action, from, to, before, pageSize });
  const views = await eventViews(prisma, rows);
  return pageOf(
    views,
    pageSize,
    ({ id }) => id,
    (view) => view,
  );
}

/** One event that somebody altered in the database must not hide all others: it is shown by its columns, and marked. */
async function eventViews(
  prisma: PrismaClient,
  rows: readonly { id: bigint; event: Uint8Array }[],
): Promise<z.output<typeof AuditEvent>[]> {
  const read = rows.map(({ id, event }) => {
    const told = ToldEvent.safeParse(readEvent(Buffer.from(event)).event);
    return { id, told: told.success ? told.data : undefined };
  });
  const damaged = read.flatMap(({ id, told }) => (told === undefined ? [id] : []));
  const columns = await columnsOfEvents(prisma, damaged);
  return read.flatMap(({ id, told }) => {
    if (told !== undefined) return [{ ...told, id: String(id) }];
    const row = columns.get(id);
    // Pruned a moment ago.
    return row === undefined ? [] : [damagedView(row)];
  });
}

const ToldEvent = AuditEvent.omit({ id: true, damaged: true });

function damagedView({ id, at, action, outcome, actor_kind, actor_id }: EventColumns): z.output<typeof AuditEvent> {
  const actor = { kind: actor_kind, id: actor_id ?? "", name: "" };
  const known = AuditEvent.shape.outcome.catch("failed").parse(outcome);
  return { id: String(id), at: at.toISOString(), action, outcome: known, actor, damaged: true };
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
