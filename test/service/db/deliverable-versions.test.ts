import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyNext, readMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";

const migration = "20261130210000_deliverable_versions";
const rows = new URL("../../fixtures/releases/20261124000000_init.sql", import.meta.url);
// Of the fixture.
const factoryId = "ce33f97c-c9bd-4fc3-b9bb-04be74dd62e7";
const dataKeyId = "375da1ad-26f9-40dd-b756-3cc493f8c75c";

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

/** What a flagged secret of the release before may look like. */
const flagged: Record<string, { current?: number; next?: number; restoredFrom?: number }> = {
  plain: {},
  written_twice: { current: 2, next: 3 },
  gone_back_to: { current: 1, next: 3 },
  repeated: { current: 3, next: 4, restoredFrom: 1 },
  once_in_a_config: {},
  once_used: {},
  once_of_a_token: {},
};

async function insertFlagged(name: string): Promise<void> {
  const { current = 1, next = 2, restoredFrom = null } = flagged[name] ?? {};
  const id = randomUUID();
  await client.query(
    `INSERT INTO secrets (id, factory_id, name, current_version, next_version, deliver_to_jobs)
     VALUES ($1, $2, $3, $4, $5, true)`,
    [id, factoryId, name, current, next],
  );
  for (let version = 1; version < next; version += 1) {
    await client.query(
      `INSERT INTO secret_versions (secret_id, version, data_key_id, ciphertext, fingerprint, restored_from, created_by_kind, created_by_id, created_by_name)
       VALUES ($1, $2, $3, '\\x00', '\\x00', $4, 'operator', '', 'test')`,
      [id, version, dataKeyId, version === current ? restoredFrom : null],
    );
  }
  if (name !== "once_used") return;
  await client.query(
    `INSERT INTO secret_uses (secret_id, version, actor_kind, actor_id, actor_name, last_used_at, tokens_until)
     VALUES ($1, 1, 'job', '', 'test', now(), now())`,
    [id],
  );
}

/** The versions of the factory that are deliverable, as `name version`. */
async function deliverable(): Promise<string[]> {
  const { rows: found } = await client.query<{ text: string }>(
    `SELECT s.name || ' ' || v.version AS text FROM secret_versions v JOIN secrets s ON s.id = v.secret_id
     WHERE v.deliver_to_jobs ORDER BY 1`,
  );
  return found.map(({ text }) => text);
}

const publish = (document: string) =>
  client.query(
    `INSERT INTO config_versions (factory_id, version, document, created_by_kind, created_by_id, created_by_name)
     SELECT $1::uuid, max(version) + 1, $2, 'operator', '', 'test' FROM config_versions WHERE factory_id = $1::uuid`,
    [factoryId, Buffer.from(document)],
  );

/** Applies the migrations before this one, lets `fill` write, and applies this one. */
async function upgradeWith(fill: () => Promise<void>): Promise<void> {
  const all = await readMigrations(migrationsDirectory);
  const index = all.findIndex(({ name }) => name === migration);
  const until = async (count: number) => {
    while ((await applyNext(client, all.slice(0, count))) !== undefined);
  };
  await client.query("BEGIN");
  await until(1);
  await client.query(await readFile(rows, "utf8"));
  await until(index);
  await fill();
  await until(index + 1);
}

describe("the migration to deliverable versions", () => {
  it("flags the current version only, and only where nothing speaks against it", async () => {
    await upgradeWith(async () => {
      for (const name of Object.keys(flagged)) await insertFlagged(name);
      await publish(
        "container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: once_in_a_config\n",
      );
      await client.query(
        `INSERT INTO audit_events (at, factory_id, action, outcome, actor_kind, secret, writer, sequence, event)
         VALUES (now(), $1, 'registry-token.issued', 'allowed', 'job', 'once_of_a_token', $2, 1, '\\x00')`,
        [factoryId, randomUUID()],
      );
    });
    expect(await deliverable()).toEqual(["plain 1", "signing_key 1", "written_twice 2"]);
    await client.query("ROLLBACK");
  });

  it("flags none in a factory with a document that may hide a name", async () => {
    await upgradeWith(async () => {
      await insertFlagged("plain");
      await publish('container_registries:\n- {type: generic, url: ghcr.io, generic_secret_name: "pl\\x61in"}\n');
    });
    expect(await deliverable()).toEqual([]);
    await client.query("ROLLBACK");
  });
});
