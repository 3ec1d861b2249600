import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommand, startCommand } from "../../support/command-process.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { type OwnPostgres, startOwnPostgres } from "./own-postgres.js";

const events = 40_000;

let own: OwnPostgres;
let service: TestService;
let factory: { id: string; name: string };
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "factory-secrets-restarted-"));
  own = await startOwnPostgres();
  service = await startTestService({}, { databaseUrl: own.url, key: own.key });
  factory = await service.createFactory();
  await operator().put(path("secrets/old")).send({ value: "not-a-real-secret-1" }).expect(201);
  await operator().put(path("config")).set("Content-Type", "application/yaml").send("containers: {}\n").expect(201);
});
afterAll(async () => {
  await service.close();
  await own.close();
  await rm(directory, { recursive: true });
});

const operator = () => service.as(service.operatorToken);
const path = (rest: string) => `/v1/factories/${factory.name}/${rest}`;

async function direct<T>(work: (client: pg.Client) => Promise<T>, url = own.directUrl()): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** What stands of the factory: all that an operation could have left half done. */
const standing = () =>
  direct(async (client) => {
    const of = async (sql: string) => (await client.query({ text: sql, values: [factory.id], rowMode: "array" })).rows;
    return {
      secrets: await of(
        "SELECT s.name, s.current_version, s.deleted_at, s.named FROM secrets s WHERE s.factory_id = $1 ORDER BY s.name",
      ),
      versions: await of(
        "SELECT count(*) FROM secret_versions v JOIN secrets s ON s.id = v.secret_id WHERE s.factory_id = $1",
      ),
      configs: await of("SELECT count(*), max(version) FROM config_versions WHERE factory_id = $1"),
      credentials: await of("SELECT count(*) FROM credentials WHERE factory_id = $1 AND revoked_at IS NULL"),
      generation: await of("SELECT generation FROM factories WHERE id = $1"),
      events: await of("SELECT count(*) FROM audit_events WHERE factory_id = $1"),
    };
  });

/** Restarts Postgres while the request waits for the lock on the audit, which it writes last. */
async function restartInside<T>(send: () => Promise<T>, how: "in good order" | "by a crash"): Promise<T> {
  const answer = await direct(async (holder) => {
    await holder.query("BEGIN; LOCK TABLE audit_events IN SHARE MODE");
    const sent = send();
    // It fails while nobody waits for it yet.
    sent.catch(() => undefined);
    const waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'audit_events'::regclass";
    await direct((watcher) => expect.poll(async () => (await watcher.query(waiting)).rowCount).toBeGreaterThan(0));
    await (how === "by a crash" ? own.crash() : own.stop());
    await own.start();
    return sent;
  });
  return answer;
}

const document = "container_registries:\n- {type: generic, url: ghcr.io, generic_secret_name: old}\n";
const batch = Array.from({ length: 50 }, (_, at) => ({ name: `new${at}`, value: `not-a-real-secret-${at}` }));
const writes = {
  "a batch of secrets": () => operator().post(path("secrets:batch")).send({ secrets: batch }),
  "a batch of secrets that were there": () =>
    operator()
      .post(path("secrets:batch"))
      .send({ secrets: [{ name: "old", value: "not-a-real-secret-2" }, ...batch] }),
  "the publication of a config": () =>
    operator().put(path("config")).set("Content-Type", "application/yaml").send(document),
  "a job that is opened": () => operator().post(path("jobs")).send({ name: "job" }),
  "a secret that is deleted": () => operator().delete(path("secrets/old")),
} as const;

describe("Postgres that is restarted inside of", () => {
  it.each([
    ["a batch of secrets", "in good order"],
    ["a batch of secrets that were there", "by a crash"],
    ["the publication of a config", "in good order"],
    ["the publication of a config", "by a crash"],
    ["a job that is opened", "in good order"],
    ["a secret that is deleted", "by a crash"],
  ] as const)("%s, %s, leaves nothing half done, and 503 or the truth is the answer", async (what, how) => {
    const before = await standing();
    const reply = await restartInside(async () => writes[what](), how);
    if (reply.status === 503) {
      expect(reply.headers["retry-after"]).toMatch(/^\d+$/);
      expect(await standing()).toEqual(before);
    } else {
      // It was tried again by itself, and says what came of that.
      expect(reply.status).toBeLessThan(300);
      expect(await standing()).not.toEqual(before);
    }
    await expect.poll(async () => (await operator().get(path("secrets"))).status).toBe(200);
  });
});

const settings = (url: string) => ({ DATABASE_URL: url, FACTORY_SECRETS_KEY: own.key });

/** Restarts Postgres once the command's connection copies the events. @returns what the command said */
async function restartWhileCopying(settings: Record<string, string>, argv: readonly string[], url: string) {
  const command = startCommand(settings, ...argv);
  let isOver = false;
  void command.ended.then(() => {
    isOver = true;
  });
  const copying =
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'COPY%audit_events%'";
  await direct(async (watcher) => {
    while (!isOver && (await watcher.query(copying)).rowCount === 0);
  }, url);
  expect(isOver, "it was restarted too late").toBe(false);
  await own.stop();
  await own.start();
  return command.ended;
}

describe("Postgres that is restarted while a command copies", () => {
  beforeAll(async () => {
    await direct((client) =>
      client.query(
        `INSERT INTO audit_events (at, action, outcome, actor_kind, writer, sequence, transaction, event)
         SELECT e.at, e.action, e.outcome, e.actor_kind, gen_random_uuid(), 1, '0', e.event
         FROM (SELECT * FROM audit_events ORDER BY id LIMIT 1) AS e, generate_series(1, $1)`,
        [events],
      ),
    );
  });

  it("a backup leaves no file of its name, and says what to do; the next goes through", async () => {
    const out = join(directory, "whole");
    const argv = ["backup", "--out", out];
    const broken = await restartWhileCopying(settings(own.url), argv, own.directUrl());
    expect(broken.code).toBe(1);
    expect(broken.err).not.toMatch(/\n\s+at |undefined/);
    expect((await readdir(directory)).filter((name) => !name.endsWith(".partial"))).toEqual([]);
    expect(await runCommand(settings(own.url), ...argv)).toMatchObject({ code: 0 });
  });

  it("a restore leaves nothing there, and can be run again", async () => {
    await direct((client) => client.query("CREATE DATABASE restored TEMPLATE template0 ENCODING 'UTF8'"));
    const at = (url: string) => Object.assign(new URL(url), { pathname: "/restored" }).href;
    await direct((client) => client.query(`GRANT ALL ON SCHEMA public TO PUBLIC`), at(own.directUrl()));
    const argv = ["restore", "--in", join(directory, "whole")];
    const broken = await restartWhileCopying(settings(at(own.url)), argv, at(own.directUrl()));
    expect(broken.code).toBe(1);
    expect(broken.err).not.toMatch(/\n\s+at |undefined/);
    const relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    expect((await direct((client) => client.query(relations), at(own.directUrl()))).rows).toEqual([]);
    expect(await runCommand(settings(at(own.url)), ...argv)).toMatchObject({ code: 0 });
  });
});
