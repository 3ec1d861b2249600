import { hash } from "node:crypto";
import type { z } from "zod";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams, FilterText, PageQuery, Timestamp } from "../http/contract.js";
import { type Page, type PageRequest, pageOf } from "../http/page.js";
import { route } from "../http/route.js";
import { KnownName } from "../http/validate.js";
import { readEvent } from "./chain/read-event.js";
import { auditChainRoutes } from "./chain/routes.js";
import { AuditEvent, AuditEventList } from "./contract.js";
import { eventActions } from "./events.js";
import { columnsOfEvents, type EventColumns, type ListedEvent, listEvents } from "./store.js";

type Reader = { prisma: PrismaClient };

/** Whether a time is before another. Both are RFC 3339 in UTC, to the microsecond, of which a `Date` knows milliseconds. */
function isBefore(one: string, other: string): boolean {
  const [ms, otherMs] = [Date.parse(one), Date.parse(other)];
  if (ms !== otherMs) return ms < otherMs;
  const fraction = (text: string) => (/\.(\d+)/.exec(text)?.[1] ?? "").padEnd(9, "0");
  return fraction(one) < fraction(other);
}

const AuditQuery = PageQuery.extend({
  secret: FilterText(255).optional().meta({ description: "Only events about this secret." }),
  actor: FilterText(64).optional().meta({ description: "Only events of the credential with this id." }),
  action: KnownName(eventActions, { what: "action of the audit", listedIn: "docs/audit.md lists them" })
    .optional()
    .meta({ description: "Only this action, such as `registry-token.issued`." }),
  outcome: AuditEvent.shape.outcome.optional().meta({ description: "Only events with this outcome." }),
  registry: FilterText(255)
    .optional()
    .meta({ description: "Only events about this registry: its host, or the id of its entry." }),
  from: Timestamp.optional().meta({ description: "Events from this time on." }),
  to: Timestamp.optional().meta({ description: "Events before this time, which is later than `from`." }),
}).refine(({ from, to }) => from === undefined || to === undefined || isBefore(from, to), {
  message: "must be later than from: there is no event before `to` and from `from` on",
  path: ["to"],
});

async function listed(
  prisma: PrismaClient,
  factoryId: string | undefined,
  query: z.output<typeof AuditQuery>,
  page: PageRequest,
): Promise<Page<z.output<typeof AuditEvent>>> {
  const { secret, actor, action, outcome, registry, from, to } = query;
  const { rows, size } = await listEvents(prisma, {
    factoryId,
    secret,
    actor,
    action,
    outcome,
    registry,
    from,
    to,
    page,
  });
  const views = await eventViews(prisma, rows, factoryId === undefined ? installationsId : factorysId);
  return pageOf(
    { ...page, size },
    views,
    ({ row }) => [String(row.id)],
    ({ view }) => view,
  );
}

type EventRow = ListedEvent;

const installationsId = ({ id }: EventRow): string => String(id);

/**
 * The id that a factory's audit shows. Ids of rows count the events of all factories, so it is a hash of that. `writer`, a
 * random id that no factory sees, keeps anybody from trying numbers until the hash fits.
 */
function factorysId({ id, writer }: EventRow): string {
  return hash("sha256", `factory-secrets audit event id v1 ${writer} ${id}`, "hex").slice(0, 32);
}

/** One event that somebody altered in the database must not hide all others: it is shown by its columns, and marked. */
async function eventViews(
  prisma: PrismaClient,
  rows: readonly EventRow[],
  idOf: (row: EventRow) => string,
): Promise<{ row: EventRow; view: z.output<typeof AuditEvent> }[]> {
  const read = rows.map((row) => {
    const told = ToldEvent.safeParse(readEvent(Buffer.from(row.event)).event);
    return { row, told: told.success ? told.data : undefined };
  });
  const damaged = read.flatMap(({ row, told }) => (told === undefined ? [row.id] : []));
  const columns = await columnsOfEvents(prisma, damaged);
  return read.flatMap(({ row, told }) => {
    const id = idOf(row);
    if (told !== undefined) return [{ row, view: { ...told, id } }];
    const known = columns.get(row.id);
    // Pruned a moment ago.
    return known === undefined ? [] : [{ row, view: { ...damagedView(known), id } }];
  });
}

const ToldEvent = AuditEvent.omit({ id: true, damaged: true });

function damagedView({ at, action, outcome, actor_kind, actor_id }: EventColumns) {
  const actor = { kind: actor_kind, id: actor_id ?? "", name: "" };
  const known = AuditEvent.shape.outcome.catch("failed").parse(outcome);
  return { at: at.toISOString(), action, outcome: known, actor, damaged: true } as const;
}

const ofFactory = route(
  {
    id: "listFactoryAudit",
    method: "get",
    path: "/v1/factories/{factory}/audit",
    tag: "Audit",
    summary: "What happened in a factory, newest first",
    auth: { permission: "audit:read" },
    isCostly: true,
    params: FactoryParams,
    query: AuditQuery,
    replies: { 200: { description: "Events.", content: { "application/json": AuditEventList } } },
    problems: [],
  },
  async ({ prisma }: Reader, { factory, query, page }) => ({
    status: 200,
    body: await listed(prisma, factory.id, query, page),
  }),
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
  async ({ prisma }: Reader, { query, page }) => ({
    status: 200,
    body: await listed(prisma, undefined, query, page),
  }),
);

export const auditRoutes = [ofFactory, ofInstallation, ...auditChainRoutes];
