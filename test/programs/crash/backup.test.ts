import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CommandProcess, runCommand, startCommand } from "../../support/command-process.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";

const events = 60_000;

let directory: string;
let service: TestService;
let empty: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "factory-secrets-killed-"));
  service = await startOwnTestService();
  await service.database.pool.query(
    `INSERT INTO audit_events (at, action, outcome, actor_kind, writer, sequence, transaction, event)
     SELECT e.at, e.action, e.outcome, e.actor_kind, gen_random_uuid(), 1, '0', e.event
     FROM (SELECT * FROM audit_events ORDER BY id LIMIT 1) AS e, generate_series(1, $1)`,
    [events],
  );
  empty = await createTestDatabase("empty");
  client = new pg.Client({ connectionString: empty.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await empty.drop();
  await service.close();
  await rm(directory, { recursive: true });
});

/** Kills a command as soon as its connection copies a table. @returns false when it was too fast */
async function killWhile(command: CommandProcess, watcher: pg.Client | pg.Pool, table: string): Promise<boolean> {
  const copying = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'COPY%${table}%'`;
  let over = false;
  void command.ended.then(() => {
    over = true;
  });
  while (!over && (await watcher.query(copying)).rowCount === 0);
  command.kill();
  return (await command.ended).code === null;
}

describe("SIGKILL", () => {
  it("in the middle of a backup leaves no file of its name, and the next goes through", async () => {
    const out = join(directory, "whole");
    const settings = { DATABASE_URL: service.databaseUrl, FACTORY_SECRETS_KEY: service.key };
    const killed = startCommand(settings, "backup", "--out", out);
    expect(await killWhile(killed, service.database.pool, "audit_events")).toBe(true);
    const left = await readdir(directory);
    expect(left.filter((name) => !name.endsWith(".partial"))).toEqual([]);
    expect(left).toHaveLength(1);
    for (const partial of left) {
      const check = await runCommand(
        { FACTORY_SECRETS_KEY: service.key },
        "restore",
        "--in",
        join(directory, partial),
        "--check",
      );
      expect(check.code).toBe(1);
    }
    expect(await runCommand(settings, "backup", "--out", out)).toMatchObject({ code: 0 });
  });

  it("at any table of a restore leaves nothing there, and it can be run again", async () => {
    const file = join(directory, "whole");
    const settings = { DATABASE_URL: empty.url, FACTORY_SECRETS_KEY: service.key };
    const relations = "SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    for (const table of ["key_encryption_keys", "credentials", "audit_events"]) {
      const restore = startCommand(settings, "restore", "--in", file);
      // A small table is copied in no time: then the kill hits a later one, which is as good.
      const hit = await killWhile(restore, client, table === "audit_events" ? table : "");
      expect(hit).toBe(true);
      const others = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
      await expect.poll(async () => (await client.query(others)).rowCount).toBe(0);
      expect((await client.query(relations)).rowCount).toBe(0);
    }
    expect(await runCommand(settings, "restore", "--in", file)).toMatchObject({ code: 0 });
    const { rows } = await client.query<{ n: number }>("SELECT count(*)::int AS n FROM audit_events");
    expect(rows[0]?.n).toBeGreaterThan(events);
  });
});
