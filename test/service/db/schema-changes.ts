import type pg from "pg";

/** What a release may rely on of a schema: columns, and what rows must satisfy. */
export type Schema = {
  /** By `table.column`. */
  columns: Map<string, { type: string; isRequired: boolean; hasDefault: boolean }>;
  /** Checks, foreign keys and unique indexes by `table.name`. */
  rules: Map<string, { kind: "check" | "foreign key" | "unique"; definition: string; columns: string[] }>;
};

export async function readSchema(client: pg.Client): Promise<Schema> {
  const columns = await client.query<{ name: string; type: string; required: boolean; has_default: boolean }>(
    `SELECT c.relname || '.' || a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS required, a.atthasdef AS has_default
     FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> '_prisma_migrations'
       AND a.attnum > 0 AND NOT a.attisdropped`,
  );
  const rules = await client.query<Schema["rules"] extends Map<string, infer Rule> ? Rule & { name: string } : never>(
    `SELECT t.relname || '.' || c.conname AS name, CASE c.contype WHEN 'c' THEN 'check' ELSE 'foreign key' END AS kind,
       pg_get_constraintdef(c.oid) AS definition,
       ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.conrelid AND attnum = ANY (c.conkey)) AS columns
     FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
     WHERE c.connamespace = 'public'::regnamespace AND c.contype IN ('c', 'f')
     UNION ALL
     SELECT t.relname || '.' || x.relname, 'unique', pg_get_indexdef(i.indexrelid),
       ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = ANY (i.indkey))
     FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid
     WHERE i.indisunique AND t.relnamespace = 'public'::regnamespace`,
  );
  return {
    columns: new Map(
      columns.rows.map(({ name, type, required, has_default }) => [
        name,
        { type, isRequired: required, hasDefault: has_default },
      ]),
    ),
    rules: new Map(rules.rows.map(({ name, ...rule }) => [name, rule])),
  };
}

const tableOf = (name: string): string => name.split(".")[0] ?? "";

/**
 * What the release before a migration trips over: it reads and writes the columns that it knows, and no others, and its
 * rows satisfied the rules that it knows.
 */
export function breakingChanges(before: Schema, after: Schema): string[] {
  return [...brokenColumns(before, after), ...brokenRules(before, after)];
}

function brokenColumns(before: Schema, after: Schema): string[] {
  const oldTables = new Set([...before.columns.keys()].map(tableOf));
  const found: string[] = [];
  for (const [name, old] of before.columns) {
    const now = after.columns.get(name);
    if (now === undefined) found.push(`${name} is gone or has another name`);
    else if (now.type !== old.type) found.push(`${name} was ${old.type} and is ${now.type}`);
    else if (now.isRequired && !old.isRequired) found.push(`${name} must be there now`);
    else if (now.isRequired && old.hasDefault && !now.hasDefault) found.push(`${name} has no default any more`);
  }
  for (const [name, { isRequired, hasDefault }] of after.columns)
    if (!before.columns.has(name) && oldTables.has(tableOf(name)) && isRequired && !hasDefault)
      found.push(`${name} is new, must be there and has no default`);
  return found;
}

function brokenRules(before: Schema, after: Schema): string[] {
  const found: string[] = [];
  for (const [name, { kind, definition, columns }] of after.rules) {
    const isOfNewColumn = columns.some((column) => !before.columns.has(`${tableOf(name)}.${column}`));
    const old = before.rules.get(name);
    if (old === undefined ? !isOfNewColumn : !takesAll(old.definition, definition))
      found.push(`the ${kind} ${name} refuses rows that were good: ${definition}`);
  }
  return found;
}

const literal = /'[^']*'::text(?:, )?/g;

/** Whether a rule is as it was, but for more values in its list. */
function takesAll(old: string, now: string): boolean {
  const valuesOf = (text: string) => text.match(literal)?.map((value) => value.replace(", ", "")) ?? [];
  const values = new Set(valuesOf(now));
  return old.replace(literal, "") === now.replace(literal, "") && valuesOf(old).every((value) => values.has(value));
}
