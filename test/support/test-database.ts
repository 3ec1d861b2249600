import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { inject } from "vitest";

export type TestDatabase = {
  /** As a role that owns the database and is not a superuser. */
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
    drop: () =>
      asAdmin(adminUrl, async (admin) => {
        await connectionsEnded(admin, name);
        await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      }),
  };
}

/** A client that is just ending takes it for an error when Postgres ends its connection first. What stays open is cut. */
async function connectionsEnded(admin: pg.Client, database: string): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { rowCount } = await admin.query("SELECT FROM pg_stat_activity WHERE datname = $1", [database]);
    if (rowCount === 0) return;
    await sleep(10);
  }
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
