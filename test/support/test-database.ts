import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";

export type TestDatabase = {
  /** As a role that owns the database and is no superuser. */
  url: string;
  /** Closes every connection to it and removes it. */
  drop(): Promise<void>;
};

/** Makes a database of this test file's own: a copy of the migrated template, or an empty one. */
export async function createTestDatabase(
  content: "migrated" | "empty" = "migrated",
  encoding: "UTF8" | "SQL_ASCII" = "UTF8",
): Promise<TestDatabase> {
  const { adminUrl, serviceUrl, prefix, template } = inject("testServer");
  const name = `${prefix}_${randomBytes(6).toString("hex")}`;
  const url = new URL(serviceUrl);
  const source = content === "migrated" ? template : "template0";
  // FILE_COPY: by itself Postgres writes every page of the template into its log, which takes twice the processor.
  await asAdmin(adminUrl, (admin) =>
    admin.query(
      `CREATE DATABASE ${name} OWNER ${admin.escapeIdentifier(url.username)} ENCODING '${encoding}' TEMPLATE ${source} STRATEGY FILE_COPY`,
    ),
  );
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => asAdmin(adminUrl, (admin) => admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)),
  };
}

async function asAdmin(url: string, work: (admin: pg.Client) => Promise<unknown>): Promise<void> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}
