import type { PrismaClient } from "../db/database.js";
import { lightPage, type PageStart } from "../http/page.js";

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
