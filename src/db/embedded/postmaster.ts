import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, copyFile, open, readFile, stat, truncate } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode } from "../../core/error-code.js";
import { DatabaseUnusable } from "../wait-for-database.js";
import type { ClusterHome } from "./cluster-home.js";
import { type Durability, postgresEnvironment } from "./create-cluster.js";
import { commandLine, processIdentity } from "./process-identity.js";

const pollMs = 10;
const fastStopMs = 30_000;
const immediateStopMs = 10_000;
const startAttempts = 5;

export type RunPostmaster = {
  dataDirectory: string;
  home: ClusterHome;
  durability: Durability;
  /** Gives the directory of the programs; asked only when none runs yet. */
  prepareBinaries: () => Promise<string>;
};

/**
 * Gives the postmaster of a cluster once it takes connections: the one that an earlier, killed service left behind
 * (`adopted`), else a new one on a free port of 127.0.0.1. Recovery after a crash may take minutes and is waited for.
 * @throws {DatabaseUnusable} with the end of Postgres' own log when it does not start.
 */
export async function runPostmaster(input: RunPostmaster): Promise<{ postmaster: Postmaster; adopted: boolean }> {
  for (let attempt = 1; attempt <= startAttempts; attempt += 1) {
    const left = await waitUntilSettled(input.home.cluster);
    if (left !== undefined) return { postmaster: left, adopted: true };
    const postmaster = await startPostmaster(input);
    if (postmaster !== undefined) return { postmaster, adopted: false };
    // The port was taken meanwhile, or a postmaster spawned just before the last service was killed came up first.
  }
  const log = await tailPostgresLog(input.dataDirectory);
  throw new DatabaseUnusable(`Postgres does not start. The end of postgres.log in ${input.dataDirectory}:\n${log}`);
}

/**
 * Stops a postmaster and waits until it is gone: a fast shutdown (SIGINT: open transactions are rolled back, all is
 * written out), and only if that hangs an immediate one (SIGQUIT: recovered at the next start, nothing committed is lost).
 * Postgres documentation, "Shutting Down the Server".
 */
export async function stopPostmaster({ pid }: Pick<Postmaster, "pid">): Promise<void> {
  const identity = await processIdentity(pid);
  const isGone = async () => (await processIdentity(pid)) !== identity;
  if (identity === undefined) return;
  for (const [signal, patienceMs] of [["SIGINT", fastStopMs] as const, ["SIGQUIT", immediateStopMs] as const]) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const deadline = performance.now() + patienceMs;
    while (performance.now() < deadline) {
      if (await isGone()) return;
      await sleep(pollMs);
    }
  }
  throw new DatabaseUnusable(`Postgres (process ${pid}) does not stop. End it by hand before the next start.`);
}

/** Waits while a postmaster starts or stops. */
async function waitUntilSettled(cluster: string): Promise<Postmaster | undefined> {
  for (;;) {
    const postmaster = await findPostmaster(cluster);
    if (postmaster === undefined || postmaster.status === "ready") return postmaster;
    await sleep(pollMs);
  }
}

async function startPostmaster(input: RunPostmaster): Promise<Postmaster | undefined> {
  const program = join(await input.prepareBinaries(), "postgres");
  const port = await freePort();
  const log = await openPostgresLog(input.dataDirectory);
  try {
    const args = ["-D", input.home.cluster, ...serverSettings(port, input.durability)];
    const child = spawn(program, args, {
      ...input.home.account,
      cwd: "/",
      env: postgresEnvironment,
      // A session of its own: Ctrl-C in the terminal must not stop the database before the requests have drained.
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    child.unref();
    child.on("error", () => undefined);
    await once(child, "spawn").catch((error) => {
      throw new DatabaseUnusable(`${program} cannot be run (${errorCode(error)}).`, { cause: error });
    });
    return await waitUntilReady(child, input.home.cluster);
  } finally {
    await log.close();
  }
}

async function waitUntilReady(child: ChildProcess, cluster: string): Promise<Postmaster | undefined> {
  while (child.exitCode === null && child.signalCode === null) {
    const postmaster = await findPostmaster(cluster);
    if (postmaster?.pid === child.pid && postmaster?.status === "ready") return postmaster;
    await sleep(pollMs);
  }
  return undefined;
}

function serverSettings(port: number, { fsync }: Durability): string[] {
  const settings = {
    listen_addresses: "127.0.0.1",
    port,
    // A socket's path may be at most 107 bytes long, and a clone may lie deeper than that.
    unix_socket_directories: "",
    fsync: fsync ? "on" : "off",
    full_page_writes: fsync ? "on" : "off",
    synchronous_commit: "on",
    timezone: "UTC",
    log_timezone: "UTC",
    // Small at rest: no replication, no parallel workers' standby processes, no compiler.
    max_connections: 100,
    shared_buffers: "64MB",
    wal_level: "minimal",
    max_wal_senders: 0,
    max_logical_replication_workers: 0,
    io_method: "sync",
    jit: "off",
    // Neither statements nor their parameters or keys may reach the log; what fails is told to the service anyway.
    log_min_messages: "log",
    log_min_error_statement: "panic",
    log_error_verbosity: "terse",
    log_parameter_max_length: 0,
    log_parameter_max_length_on_error: 0,
    log_checkpoints: "off",
  };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("A listening TCP server has no port.");
  return address.port;
}

/** A running postmaster. A crash recovery counts as `starting`. */
export type Postmaster = { pid: number; port: number; status: "starting" | "ready" | "stopping" };

/**
 * The postmaster that runs on a cluster, found by its `postmaster.pid`; `undefined` when none does.
 * After a crash the file outlives its process and the pid may belong to anything, so the process must also have been
 * started on this very directory.
 * Lines of the file (Postgres, `src/include/utils/pidfile.h`): 1 pid, 4 port, 8 status.
 */
export async function findPostmaster(cluster: string): Promise<Postmaster | undefined> {
  const lines = (await readPidFile(cluster)).split("\n");
  const pid = Number.parseInt(lines[0] ?? "", 10);
  if (!(pid > 0) || (await processIdentity(pid)) === undefined) return undefined;
  if (!(await commandLine(pid)).includes(` -D ${cluster} `)) return undefined;
  return { pid, port: Number.parseInt(lines[3] ?? "", 10), status: statusOf(lines[7]) };
}

function statusOf(line: string | undefined): Postmaster["status"] {
  const word = line?.trim();
  return word === "ready" || word === "stopping" ? word : "starting";
}

async function readPidFile(cluster: string): Promise<string> {
  const path = join(cluster, "postmaster.pid");
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    if (errorCode(error) !== "EACCES") throw error;
    throw new DatabaseUnusable(`${path} belongs to another user. Run this as the user who runs the service.`, {
      cause: error,
    });
  }
}

const maxBytes = 1024 * 1024;

export function postgresLogPath(dataDirectory: string): string {
  return join(dataDirectory, "postgres.log");
}

/** Opens the log for appending (mode 0600). Postgres inherits the descriptor: its account needs no way to the file. */
export async function openPostgresLog(dataDirectory: string): Promise<{ fd: number; close(): Promise<void> }> {
  const path = postgresLogPath(dataDirectory);
  const file = await open(path, "a", 0o600);
  await chmod(path, 0o600);
  return { fd: file.fd, close: () => file.close() };
}

/**
 * Keeps the log below 1 MiB, with the 1 MiB before it in `postgres.log.1`.
 * Postgres holds the file open for appending, so it is copied and emptied, not renamed; a line written in between is lost.
 */
export async function boundPostgresLog(dataDirectory: string): Promise<void> {
  const path = postgresLogPath(dataDirectory);
  const size = await stat(path).then(
    (file) => file.size,
    () => 0,
  );
  if (size <= maxBytes) return;
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
}

/** The last lines of the log, for the message of a failed start. */
export async function tailPostgresLog(dataDirectory: string, lines = 5): Promise<string> {
  const text = await readFile(postgresLogPath(dataDirectory), "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
