import type { z } from "zod";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams, FilterText, PageQuery, Timestamp } from "../http/contract.js";
import { type Page, type PageRequest, pageOf } from "../http/page.js";
import { route } from "../http/route.js";
import { KnownName } from "../http/validate.js";
import { AuditEvent, AuditEventList } from "./contract.js";
import { eventActions } from "./events.js";
import { factoryEventId } from "./log/export.js";
import { readEvent } from "./log/read-event.js";
import { auditLogRoutes } from "./log/routes.js";
import { type ListedEvent, listEvents } from "./store.js";

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
  return pageOf(
    { ...page, size },
    rows,
    ({ id }) => [String(id)],
    (row) => ({ ...eventView(row), id: factoryId === undefined ? String(row.id) : factorysId(row) }),
  );
}

const factorysId = ({ id, writer }: ListedEvent): string => factoryEventId({ eventId: String(id), writer });

/** An event that was altered in the database must not hide all others: it is shown by its columns, and marked. */
function eventView(row: ListedEvent): Omit<z.output<typeof AuditEvent>, "id"> {
  const told = ToldEvent.safeParse(readEvent(Buffer.from(row.event)).event);
  return told.success ? told.data : damagedView(row);
}

const ToldEvent = AuditEvent.omit({ id: true, damaged: true });

function damagedView({ at, action, outcome, actor_kind, actor_id }: ListedEvent) {
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

export const auditRoutes = [ofFactory, ofInstallation, ...auditLogRoutes];
