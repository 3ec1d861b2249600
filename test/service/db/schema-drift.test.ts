import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSchemaEngine } from "../../support/schema-engine.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";

const schemaPath = fileURLToPath(new URL("../../../prisma/schema.prisma", import.meta.url));
const migrations = new URL("../../../prisma/migrations/", import.meta.url);
const filters = { externalTables: [], externalEnums: [] };

let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase();
});

afterEach(() => database.drop());

async function diff(): Promise<string | null> {
  const engine = await openSchemaEngine(database.url);
  const { stdout } = await engine.diff({
    from: { tag: "schemaDatasource", files: [await schemaFile()], configDir: "" },
    to: { tag: "schemaDatamodel", files: [await schemaFile()] },
    script: true,
    exitCode: null,
    filters,
  });
  return stdout;
}

async function schemaFile(): Promise<{ path: string; content: string }> {
  return { path: schemaPath, content: await readFile(schemaPath, "utf8") };
}

describe("the migrations and schema.prisma", () => {
  it("describe the same database", async () => {
    expect(await diff()).toBe("-- This is an empty migration.\n");
  });

  it("are really compared: a column that only the database has is a difference", async () => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const { rows } = await client.query<{ name: string }>(
      "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_prisma_migrations' LIMIT 1",
    );
    await client.query(`ALTER TABLE ${rows[0]?.name} ADD COLUMN not_in_the_schema text`);
    await client.end();
    expect(await diff()).toContain("not_in_the_schema");
  });

  it("leave records that Prisma's own engine takes for its own", async () => {
    const engine = await openSchemaEngine(database.url);
    const names = (await readdir(migrations, { withFileTypes: true })).filter((entry) => entry.isDirectory());
    const migrationDirectories = await Promise.all(
      names.map(async ({ name }) => ({
        path: name,
        migrationFile: {
          path: "migration.sql",
          content: { tag: "ok" as const, value: await readFile(new URL(`${name}/migration.sql`, migrations), "utf8") },
        },
      })),
    );
    const lockfile = await readFile(new URL("migration_lock.toml", migrations), "utf8");
    const diagnosis = await engine.diagnoseMigrationHistory({
      migrationsList: {
        baseDir: fileURLToPath(migrations),
        lockfile: { path: "migration_lock.toml", content: lockfile },
        shadowDbInitScript: "",
        migrationDirectories,
      },
      optInToShadowDatabase: false,
      filters,
    });
    expect(diagnosis).toMatchObject({
      history: null,
      failedMigrationNames: [],
      editedMigrationNames: [],
      hasMigrationsTable: true,
    });
  });
});
