import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { access, constants, mkdtemp, readdir, readFile, rm, stat, statfs } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { lockDirectory } from "../../src/db/embedded/directory-lock.js";
import { openEmbeddedPostgres } from "../../src/db/embedded/open-embedded-postgres.js";
import { findPostmaster, stopPostmaster } from "../../src/db/embedded/postmaster.js";

import { applyMigrations } from "../../src/db/migrate.js";

declare global {
  /** The server of the run and how many projects stand on it: each project has modules of its own, but not a process. */
  var testServerOfRun: { users: number; started: Promise<StartedServer> } | undefined;
}

type StartedServer = { server: TestServer; tearDown: () => Promise<void> };

declare module "vitest" {
  export interface ProvidedContext {
    testServer: TestServer;
  }
}

/** The Postgres that a test run shares. */
export type TestServer = {
  /** May create databases. */
  adminUrl: string;
  /** Owns the databases of the tests; no superuser, like the service's role. */
  serviceUrl: string;
  /** All databases of this run begin with it. */
  prefix: string;
  /** A migrated, empty database to copy. */
  template: string;
};

const directoryPrefix = "factory-secrets-test-";
/** The file system in memory that Linux has. */
const memory = "/dev/shm";
const migrations = fileURLToPath(new URL("../../prisma/migrations", import.meta.url));

/**
 * Vitest's global setup: one throw-away Postgres for the whole run with one migrated template database, or, when
 * `TEST_DATABASE_URL` is set, databases on that server. Gives the teardown.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  globalThis.testServerOfRun ??= { users: 0, started: startOnce() };
  const ofRun = globalThis.testServerOfRun;
  ofRun.users += 1;
  const { server, tearDown } = await ofRun.started;
  project.provide("testServer", server);
  return async () => {
    ofRun.users -= 1;
    if (ofRun.users > 0) return;
    globalThis.testServerOfRun = undefined;
    await tearDown();
  };
}

async function startOnce(): Promise<StartedServer> {
  const prefix = `test_${randomBytes(4).toString("hex")}`;
  const template = `${prefix}_template`;
  const given = process.env.TEST_DATABASE_URL;
  const started = given === undefined ? await startServer() : { adminUrl: given, serviceUrl: given, stop: undefined };
  const tearDown = started.stop ?? (() => dropDatabases(started.adminUrl, prefix));
  try {
    await makeTemplate(started, template);
  } catch (error) {
    await tearDown();
    throw error;
  }
  return { server: { adminUrl: started.adminUrl, serviceUrl: started.serviceUrl, prefix, template }, tearDown };
}

async function startServer(): Promise<{ adminUrl: string; serviceUrl: string; stop: () => Promise<void> }> {
  await removeLeftovers();
  const directory = await mkdtemp(join(await roomyPlace(), directoryPrefix));
  const deps = {
    onProgress: () => undefined,
    onUnexpectedExit: (message: string) => void process.stderr.write(`${message}\n`),
  };
  const server = await openEmbeddedPostgres(deps, { dataDirectory: directory, durability: { fsync: false } });
  // For an exit without teardown (a second Ctrl-C). Nothing asynchronous runs any more there.
  const removeNow = () => {
    process.kill(server.pid, "SIGQUIT");
    rmSync(directory, { recursive: true, force: true, maxRetries: 10 });
  };
  process.once("exit", removeNow);
  const stop = async () => {
    process.off("exit", removeNow);
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  };
  return { adminUrl: server.adminUrl, serviceUrl: server.url, stop };
}

/**
 * Memory, where there is enough of it: a database that is copied and dropped for many test files costs a third of the
 * processor that it costs on a disk.
 */
async function roomyPlace(): Promise<string> {
  const enough = 4 * 1024 ** 3;
  try {
    await access(memory, constants.W_OK | constants.X_OK);
    const mount = (await readFile("/proc/self/mounts", "utf8"))
      .split("\n")
      .find((line) => line.split(" ")[1] === memory);
    // Postgres' programs may have to be copied beside its data. Containers mount this place without the right to run any.
    if (mount === undefined || mount.split(" ")[3]?.split(",").includes("noexec")) return tmpdir();
    const { bavail, bsize } = await statfs(memory);
    return Math.min(bavail * bsize, freemem()) > enough ? memory : tmpdir();
  } catch {
    return tmpdir();
  }
}

async function makeTemplate(server: { adminUrl: string; serviceUrl: string }, template: string): Promise<void> {
  const owner = new URL(server.serviceUrl).username;
  const admin = new pg.Client({ connectionString: server.adminUrl });
  await admin.connect();
  try {
    await admin.query(
      `CREATE DATABASE ${template} OWNER ${admin.escapeIdentifier(owner)} TEMPLATE template0 ENCODING 'UTF8'`,
    );
  } finally {
    await admin.end();
  }
  const url = new URL(server.serviceUrl);
  url.pathname = `/${template}`;
  const pool = new pg.Pool({ connectionString: url.href });
  try {
    await applyMigrations({ pool, onProgress: () => undefined }, migrations);
  } finally {
    await pool.end();
  }
}

async function dropDatabases(adminUrl: string, prefix: string): Promise<void> {
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  try {
    const { rows } = await admin.query<{ datname: string }>(
      "SELECT datname FROM pg_database WHERE starts_with(datname, $1)",
      [prefix],
    );
    for (const { datname } of rows) {
      await admin.query(`DROP DATABASE IF EXISTS ${admin.escapeIdentifier(datname)} WITH (FORCE)`);
    }
  } finally {
    await admin.end();
  }
}

/** What runs that were killed have left: their directories, and the Postgres that still runs in them. */
async function removeLeftovers(): Promise<void> {
  const places = [tmpdir(), memory];
  const found = await Promise.all(
    places.map(async (place) => (await readdir(place).catch(() => [])).map((name) => join(place, name))),
  );
  for (const directory of found.flat()) {
    if (!basename(directory).startsWith(directoryPrefix)) continue;
    const age = await stat(directory).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    );
    // A younger one may be of a run that is just starting and has not taken its lock yet.
    if (age < 60_000) continue;
    const lock = await lockDirectory(directory).catch(() => undefined);
    if (lock === undefined) continue;
    const postmaster = await findPostmaster(join(directory, "postgres"));
    if (postmaster !== undefined) await stopPostmaster(postmaster);
    await rm(directory, { recursive: true, force: true });
  }
}
