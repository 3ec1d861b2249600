import type { z } from "zod";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams, FilterText, PageQuery, Timestamp } from "../http/contract.js";
import { lightPage, type Page, type PageRequest, type PageStart, pageOf } from "../http/page.js";
import { route } from "../http/route.js";
import { KnownName } from "../http/validate.js";
import { AuditEvent, AuditEventList } from "./contract.js";
import { eventActions } from "./events.js";
import { factoryEventId } from "./log/export.js";
import { readEvent } from "./log/read-event.js";
import { auditLogRoutes } from "./log/routes.js";

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

export type AuditFilter = {
  factoryId: string | undefined;
  secret: string | undefined;
  actor: string | undefined;
  action: string | undefined;
  outcome: string | undefined;
  registry: string | undefined;
  from: string | undefined;
  to: string | undefined;
  page: PageStart;
};

/** An event as it is stored: its bytes, and the columns beside them that searches use. */
export type ListedEvent = {
  id: bigint;
  writer: string;
  event: Uint8Array;
  at: Date;
  action: string;
  outcome: string;
  actor_kind: string;
  actor_id: string | null;
};

/**
 * Events, newest first; one more than the page has, and how many it has. `actor` is the id of a credential.
 */
export async function listEvents(
  prisma: PrismaClient,
  filter: AuditFilter,
): Promise<{ rows: ListedEvent[]; size: number }> {
  const { factoryId, secret, actor, action, outcome, registry, from, to, page } = filter;
  const [after] = page.after ?? [];
  const conditions: string[] = [];
  const values: unknown[] = [];
  const where = (value: unknown, condition: (parameter: string) => string): void => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  where(factoryId, (id) => `factory_id = ${id}::uuid`);
  where(secret, (name) => `secret = ${name}::text`);
  where(actor, (id) => `actor_id = ${id}::text`);
  where(action, (name) => `action = ${name}::text`);
  where(outcome, (name) => `outcome = ${name}::text`);
  where(from, (time) => `at >= ${time}::timestamptz`);
  where(to, (time) => `at < ${time}::timestamptz`);
  where(after, (id) => `id < ${id}::bigint`);
  if (registry !== undefined) {
    // The bytes are canonical, so a member is always written the same. They are not read as JSON: damaged ones are not.
    const named = registryMembers.map((member) => new TextEncoder().encode(`"${member}":${JSON.stringify(registry)}`));
    const found = named.map((bytes) => `position($${values.push(bytes)}::bytea IN event) > 0`);
    conditions.push(`(${found.join(" OR ")})`);
  }
  const found = await prisma.$queryRawUnsafe<{ id: bigint; bytes: number }[]>(
    `SELECT id, octet_length(event) AS bytes FROM audit_events
     ${conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`}
     ORDER BY id DESC LIMIT $${values.push(page.size + 1)}`,
    ...values,
  );
  const weights = found.map(({ bytes }) => bytes);
  const { size } = lightPage(page, weights);
  const rows = await prisma.$queryRawUnsafe<ListedEvent[]>(
    // A row that was written directly can have a time that no reply can hold: it becomes the nearest one.
    `SELECT id, writer, event, action, outcome, actor_kind, actor_id,
       greatest(least(at, '9999-12-31T23:59:59Z'), '0001-01-01T00:00:00Z') AS at
     FROM audit_events WHERE id = ANY($1::bigint[]) ORDER BY id DESC`,
    found.slice(0, size + 1).map(({ id }) => id),
  );
  return { rows, size };
}

/** The members of an event, or of its grants, that name a registry. */
const registryMembers = ["registry", "entry", "host"];
