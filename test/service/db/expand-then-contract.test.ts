import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { breakingChanges, readSchema } from "./schema-changes.js";

/**
 * What a migration takes away on purpose, by its name, and how the sentence about it begins: only what the release before
 * does not do.
 */
const contracted: Record<string, readonly string[]> = {
  // The release before records one key, which stays the only active one.
  "20261128000000_keys": ["the unique key_encryption_keys.key_encryption_keys_state_key "],
  // It makes no keys of this purpose.
  "20261129000000_aws_keys": ["the unique data_keys.data_keys_aws_keys_key "],
  // It announces no keys.
  "20261129060000_announced_signing_keys": ["the unique signing_keys.signing_keys_announced_key "],
  // Nothing was released with the chains of hashes.
  "20261201010000_transparency_logs": [
    ...["audit_chains.", "audit_statements.", "audit_seals.", "audit_shipments."],
    "the unique audit_seals.",
  ],
};

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase("empty");
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

it("each migration leaves all that the release before it reads and writes", async () => {
  let before = await readSchema(client);
  for (const { name, sql } of await readMigrations(migrationsDirectory)) {
    await client.query(sql);
    const after = await readSchema(client);
    const meant = contracted[name] ?? [];
    const found = breakingChanges(before, after).filter((sentence) => !meant.some((one) => sentence.startsWith(one)));
    expect({ name, found }).toEqual({ name, found: [] });
    before = after;
  }
  expect(before.columns.size).toBeGreaterThan(100);
  expect(before.rules.size).toBeGreaterThan(30);
});

describe("that is noticed of", () => {
  it.each([
    ["a column that goes", "ALTER TABLE secrets DROP COLUMN description", "secrets.description is gone"],
    ["a table that goes", "DROP TABLE secret_uses", "secret_uses.version is gone"],
    ["a new name", "ALTER TABLE secrets RENAME COLUMN description TO words", "secrets.description is gone"],
    [
      "another type",
      "ALTER TABLE secrets ALTER COLUMN description TYPE varchar(9)",
      "was text and is character varying(9)",
    ],
    ["a column that must be there", "ALTER TABLE secrets ALTER COLUMN description SET NOT NULL", "must be there now"],
    [
      "a default that goes",
      "ALTER TABLE secrets ALTER COLUMN named DROP DEFAULT",
      "secrets.named has no default any more",
    ],
    ["a new column that must be there", "ALTER TABLE secrets ADD COLUMN colour text NOT NULL", "secrets.colour is new"],
    ["a new check", "ALTER TABLE secrets ADD CONSTRAINT c CHECK (description <> '')", "the check secrets.c refuses"],
    [
      "a narrower check",
      "ALTER TABLE audit_keys DROP CONSTRAINT audit_keys_state_check, ADD CONSTRAINT audit_keys_state_check CHECK (state IN ('active', 'other'))",
      "the check audit_keys.audit_keys_state_check",
    ],
    ["a new unique index", "CREATE UNIQUE INDEX u ON secrets (description)", "the unique secrets.u refuses"],
    [
      "a new foreign key",
      "ALTER TABLE secret_uses ADD CONSTRAINT f FOREIGN KEY (secret_id) REFERENCES secrets (id)",
      "the foreign key secret_uses.f",
    ],
  ])("%s", async (_what, sql, sentence) => {
    const before = await readSchema(client);
    await client.query("BEGIN");
    await client.query(sql);
    const found = breakingChanges(before, await readSchema(client));
    await client.query("ROLLBACK");
    expect(found.join("\n")).toContain(sentence);
  });

  it("but not of what is added, or takes more", async () => {
    const before = await readSchema(client);
    await client.query("BEGIN");
    await client.query(`ALTER TABLE secrets ADD COLUMN colour text, ADD COLUMN size int NOT NULL DEFAULT 1,
        ADD CONSTRAINT c CHECK (size > 0), ALTER COLUMN next_version DROP NOT NULL;
      CREATE TABLE other (id int PRIMARY KEY);
      ALTER TABLE audit_keys DROP CONSTRAINT audit_keys_state_check,
        ADD CONSTRAINT audit_keys_state_check CHECK (state IN ('active', 'retired', 'other'))`);
    expect(breakingChanges(before, await readSchema(client))).toEqual([]);
    await client.query("ROLLBACK");
  });
});
