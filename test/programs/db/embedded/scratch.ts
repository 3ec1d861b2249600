import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import pg from "pg";
import {
  type EmbeddedPostgres,
  type EmbeddedPostgresInput,
  openEmbeddedPostgres,
} from "../../../../src/db/embedded/open-embedded-postgres.js";
import { findPostmaster, stopPostmaster } from "../../../../src/db/embedded/postmaster.js";

export const silent = { onProgress: () => undefined, onUnexpectedExit: () => undefined };

export type Scratch = {
  directory: string;
  /** A data directory in it, not made yet. */
  dataDirectory: string;
  /** Makes the data directory as a first start and a stop leave it: copied, since initdb takes most of a second. */
  fill(): Promise<void>;
  /** Without fsync unless asked otherwise: no test cuts the power. */
  open(input?: Partial<EmbeddedPostgresInput>): Promise<EmbeddedPostgres>;
  /** Starts another process that opens the data directory and holds it until it is killed. */
  hold(): Promise<{ child: ChildProcess; url: string; postmasterPid: number }>;
  remove(): Promise<void>;
};

// One file of JavaScript, where packages are found: to start it as TypeScript takes four times the processor.
const holder = fileURLToPath(new URL("../../../../node_modules/.cache/hold-data-directory.mjs", import.meta.url));
const bundled = build({
  entryPoints: [fileURLToPath(new URL("hold-data-directory.ts", import.meta.url))],
  outfile: holder,
  bundle: true,
  packages: "external",
  platform: "node",
  format: "esm",
});

let used: Promise<string> | undefined;

/** A data directory that was started and stopped once, made when it is first asked for. */
function usedDirectory(): Promise<string> {
  used ??= makeUsedDirectory();
  return used;
}

async function makeUsedDirectory(): Promise<string> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), "embedded-used-")));
  await chmod(directory, 0o755);
  const dataDirectory = join(directory, "data");
  const server = await openEmbeddedPostgres(silent, { dataDirectory, durability: { fsync: false } });
  await server.stop();
  return dataDirectory;
}

/** Removes what `fill` copies. */
export async function removeUsedDirectory(): Promise<void> {
  if (used !== undefined) await rm(dirname(await used), { recursive: true, force: true });
  used = undefined;
}

/** A directory of a test's own. Removing it also ends what the test has left running there. */
export async function makeScratch(): Promise<Scratch> {
  await bundled;
  const directory = await realpath(await mkdtemp(join(tmpdir(), "embedded-")));
  // As root, Postgres' account has to be able to enter.
  await chmod(directory, 0o755);
  const dataDirectory = join(directory, "data");
  const children: ChildProcess[] = [];
  const clusters = new Set([join(dataDirectory, "postgres")]);
  return {
    directory,
    dataDirectory,
    // The account of Postgres owns the cluster, and goes on to.
    fill: async () => void (await promisify(execFile)("cp", ["-a", await usedDirectory(), dataDirectory])),
    open: async (input = {}) => {
      const server = await openEmbeddedPostgres(silent, { dataDirectory, durability: { fsync: false }, ...input });
      clusters.add(server.cluster);
      return server;
    },
    hold: async () => {
      const child = spawnHolder(dataDirectory);
      children.push(child);
      return { child, ...(await firstLine(child)) };
    },
    remove: async () => {
      for (const child of children) child.kill("SIGKILL");
      for (const cluster of clusters) {
        const postmaster = await findPostmaster(cluster);
        if (postmaster !== undefined) await stopPostmaster(postmaster);
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A process group of its own, as a shell gives to a command in a terminal. */
export function spawnHolder(dataDirectory: string): ChildProcess {
  return spawn(process.execPath, [holder, dataDirectory], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, FACTORY_SECRETS_KEY: "not-a-real-key" },
  });
}

async function firstLine(child: ChildProcess): Promise<{ url: string; postmasterPid: number }> {
  if (child.stdout === null) throw new Error("The child has no standard output.");
  const [line] = await once(createInterface(child.stdout), "line");
  return JSON.parse(line);
}

export async function query(url: string, text: string, values: readonly unknown[] = []): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query({ text, values: [...values] })).rows;
  } finally {
    await client.end();
  }
}

export async function readLog(dataDirectory: string): Promise<string> {
  return readFile(join(dataDirectory, "postgres.log"), "utf8");
}
