import { once } from "node:events";
import { access, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { readEmbeddedConnection } from "../../../../src/db/embedded/connection-file.js";
import { openEmbeddedPostgres } from "../../../../src/db/embedded/open-embedded-postgres.js";
import { processIdentity } from "../../../../src/db/embedded/process-identity.js";
import { makeScratch, query, readLog, removeUsedDirectory, type Scratch, silent, spawnHolder } from "./scratch.js";

let scratch: Scratch;

beforeEach(async () => {
  scratch = await makeScratch();
});

afterEach(() => scratch.remove());
afterAll(removeUsedDirectory);

const listNames = (path: string): Promise<string[]> => readdir(path).catch(() => []);
const permissions = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

describe("starting on an empty directory", () => {
  it("makes a durable UTF8 database in the C locale that asks for a scram password, and a role that is no superuser", async () => {
    const server = await openEmbeddedPostgres(silent, { dataDirectory: scratch.dataDirectory });
    const settings = await query(
      server.url,
      `SELECT current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync,
              current_setting('synchronous_commit') AS commit, current_setting('listen_addresses') AS listen,
              current_setting('is_superuser') AS superuser, datcollate AS collate, current_user AS user
       FROM pg_database WHERE datname = current_database()`,
    );
    expect(settings).toEqual([
      {
        encoding: "UTF8",
        fsync: "on",
        commit: "on",
        listen: "127.0.0.1",
        superuser: "off",
        collate: "C",
        user: "factory_secrets",
      },
    ]);
    const methods = await query(server.adminUrl, "SELECT DISTINCT auth_method FROM pg_hba_file_rules");
    expect(methods).toEqual([{ auth_method: "scram-sha-256" }]);
    const wrong = new URL(server.url);
    wrong.password = "guess";
    await expect(query(wrong.href, "SELECT 1")).rejects.toThrow("password authentication failed");
    await server.stop();
  });

  it("lets nobody else read the password, the log or the data", async () => {
    const server = await scratch.open();
    expect(await permissions(join(scratch.dataDirectory, "connection.json"))).toBe("600");
    expect(await permissions(join(scratch.dataDirectory, "postgres.log"))).toBe("600");
    expect(await permissions(server.cluster)).toBe("700");
    // As root the account of Postgres has to pass through the directory; it may not list it.
    expect(await permissions(scratch.dataDirectory)).toBe(process.geteuid?.() === 0 ? "711" : "700");
    await server.stop();
  });

  it("does over an initdb that was cut short", async () => {
    const left = join(scratch.dataDirectory, "postgres.incomplete-aaaaaa", "cluster");
    await mkdir(left, { recursive: true });
    await writeFile(join(left, "PG_VERSION"), "18\n");
    const server = await scratch.open();
    expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await server.stop();
    expect(await readdir(scratch.dataDirectory)).toEqual(["connection.json", "postgres", "postgres.log"]);
  });

  it("starts after a service that was killed in the middle of initdb, which itself goes on", async () => {
    const holder = spawnHolder(scratch.dataDirectory);
    await expect.poll(initdbHasBegun, { interval: 5 }).toBe(true);
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const server = await scratch.open();
    expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await server.stop();
  });

  it("lets exactly one of several simultaneous starts have the directory", async () => {
    const holders = [1, 2, 3].map(() => spawnHolder(scratch.dataDirectory));
    const first = await Promise.race(
      holders.map(async (holder) => {
        if (holder.stdout === null) throw new Error("no output");
        await once(holder.stdout, "data");
        return holder;
      }),
    );
    const others = holders.filter((holder) => holder !== first);
    await Promise.all(others.map((holder) => holder.exitCode ?? once(holder, "exit")));
    expect(others.map((holder) => holder.exitCode)).toEqual([1, 1]);
    expect(first.exitCode).toBeNull();
    first.kill("SIGKILL");
    await once(first, "exit");
  });

  async function initdbHasBegun(): Promise<boolean> {
    const names = await listNames(scratch.dataDirectory);
    const draft = names.find((name) => name.startsWith("postgres.incomplete-"));
    if (draft === undefined) return false;
    const cluster = await listNames(join(scratch.dataDirectory, draft, "cluster"));
    return cluster.includes("base");
  }
});

describe("starting again", () => {
  beforeEach(() => scratch.fill());

  it("finds what was written before, and keeps the passwords", async () => {
    const first = await scratch.open();
    await query(first.url, "CREATE TABLE kept AS SELECT 42 AS value");
    await first.stop();
    const second = await scratch.open();
    expect(await query(second.url, "SELECT * FROM kept")).toEqual([{ value: 42 }]);
    expect(new URL(second.url).password).toBe(new URL(first.url).password);
    await second.stop();
  });

  it("refuses another major version's data, a lost and a damaged connection.json", async () => {
    const server = await scratch.open();
    await server.stop();
    const connection = join(scratch.dataDirectory, "connection.json");
    const text = await readFile(connection, "utf8");
    await writeFile(connection, text.slice(0, -20));
    const damaged = scratch.open();
    await expect(damaged).rejects.toThrow(`${connection} is damaged. Bring it back from a backup.`);
    await expect(damaged).rejects.not.toThrow(new URL(server.url).password);
    await writeFile(connection, text);
    await writeFile(join(server.cluster, "PG_VERSION"), "17\n");
    await expect(scratch.open()).rejects.toThrow("was made by Postgres 17, but this release brings Postgres 18");
  });

  it("recovers by itself after Postgres was killed, and tells the service when that happens", async () => {
    const told: string[] = [];
    const first = await openEmbeddedPostgres(
      { ...silent, onUnexpectedExit: (message) => told.push(message) },
      { dataDirectory: scratch.dataDirectory, durability: { fsync: false } },
    );
    await query(first.url, "CREATE TABLE kept AS SELECT 42 AS value");
    process.kill(first.pid, "SIGKILL");
    await expect.poll(() => told).toEqual([expect.stringContaining(`process ${first.pid}`)]);
    await first.stop();
    const second = await scratch.open();
    expect(await query(second.url, "SELECT * FROM kept")).toEqual([{ value: 42 }]);
    await second.stop();
  });
});

describe("a service that was killed", () => {
  beforeEach(() => scratch.fill());

  it("leaves a Postgres that the next one adopts", async () => {
    const { child, url, postmasterPid } = await scratch.hold();
    await query(url, "CREATE TABLE kept AS SELECT 42 AS value");
    child.kill("SIGKILL");
    await once(child, "exit");
    const next = await scratch.open();
    expect(next.pid).toBe(postmasterPid);
    expect(next.url).toBe(url);
    expect(await query(next.url, "SELECT * FROM kept")).toEqual([{ value: 42 }]);
    await next.stop();
    expect(await processIdentity(postmasterPid)).toBeUndefined();
  });

  it("does not make the next one trust a recycled pid", async () => {
    const first = await scratch.open();
    await first.stop();
    // A pid file from before a crash, whose pid and port belong to something else now: this very process.
    await writeFile(
      join(first.cluster, "postmaster.pid"),
      `${process.pid}\n${first.cluster}\n0\n1\n\n127.0.0.1\n0\nready\n`,
    );
    expect(await readEmbeddedConnection(scratch.dataDirectory)).toBeUndefined();
    await writeFile(join(scratch.dataDirectory, `lock-${process.pid}-1-another-boot`), "");
    const second = await scratch.open();
    expect(await query(second.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await second.stop();
  });
});

describe("while it runs", () => {
  beforeEach(() => scratch.fill());

  it("refuses a second start and says who holds the directory since when", async () => {
    const { child } = await scratch.hold();
    await expect(scratch.open()).rejects.toThrow(
      new RegExp(
        `${scratch.dataDirectory} is in use by process ${child.pid} since 20\\d\\d-.*Z\\. Stop that one first`,
      ),
    );
  });

  it("refuses a second start in the same process", async () => {
    const server = await scratch.open();
    await expect(scratch.open()).rejects.toThrow(`is in use by process ${process.pid} since`);
    await server.stop();
  });

  it("tells commands beside it how to reach the database, and stops telling when it stops", async () => {
    expect(await readEmbeddedConnection(scratch.dataDirectory)).toBeUndefined();
    const server = await scratch.open();
    expect(await readEmbeddedConnection(scratch.dataDirectory)).toEqual({ url: server.url });
    expect(await readEmbeddedConnection(relative(process.cwd(), scratch.dataDirectory))).toEqual({ url: server.url });
    await server.stop();
    expect(await readEmbeddedConnection(scratch.dataDirectory)).toBeUndefined();
  });

  it("keeps Postgres out of reach of Ctrl-C", async () => {
    const { child, url } = await scratch.hold();
    if (child.pid === undefined) throw new Error("not started");
    process.kill(-child.pid, "SIGINT");
    await sleep(200);
    expect(await query(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  it("stops once, however often it is asked to", async () => {
    const server = await scratch.open();
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    await expect(access(join(server.cluster, "postmaster.pid"))).rejects.toThrow("ENOENT");
  });

  it("keeps statements, their parameters and their keys out of the log", async () => {
    const server = await scratch.open();
    await query(server.url, "CREATE TABLE t (v text PRIMARY KEY CHECK (length(v) < 50))");
    const insert = () => query(server.url, "INSERT INTO t VALUES ($1)", ["not-a-real-secret-1"]);
    await insert();
    await expect(insert()).rejects.toThrow("duplicate key");
    await expect(query(server.url, "SELECT 'not-a-real-secret-1'::int")).rejects.toThrow("invalid input syntax");
    await expect(query(server.url, "INSERT INTO t VALUES ($1)", ["not-a-real-secret-1".repeat(9)])).rejects.toThrow();
    await server.stop();
    const log = await readLog(scratch.dataDirectory);
    expect(log).toContain("ready to accept connections");
    expect(log).not.toContain("not-a-real-secret-1");
    expect(log).not.toContain("INSERT");
  });

  it.skipIf(process.platform !== "linux")("does not hand the service's environment to Postgres", async () => {
    const { postmasterPid } = await scratch.hold();
    const environment = await readFile(`/proc/${postmasterPid}/environ`, "utf8");
    expect(environment).not.toContain("FACTORY_SECRETS_KEY");
  });
});
