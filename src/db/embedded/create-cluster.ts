import { execFile } from "node:child_process";
import { access, chown, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { DatabaseUnusable } from "../database-unusable.js";
import type { ClusterHome } from "./cluster-home.js";

const run = promisify(execFile);

/** The settings of initdb that differ between a database that must last and a throw-away one. */
export type Durability = { fsync: boolean };

/**
 * Runs `initdb` where no cluster is yet. It works under another name, which becomes the cluster's in one step:
 * what a crash has left behind is never taken for a database.
 * @param superuser becomes the owner of the cluster; every connection needs a password (scram-sha-256).
 */
export async function createCluster(
  binDirectory: string,
  home: ClusterHome,
  superuser: { name: string; password: string },
  { fsync }: Durability,
): Promise<void> {
  const draft = join(home.directory, "postgres.incomplete");
  const passwordFile = join(home.directory, "initdb-password");
  await removeLeftovers([draft, passwordFile]);
  try {
    await mkdir(draft, { mode: 0o700 });
    await writeFile(passwordFile, superuser.password, { flag: "wx", mode: 0o600 });
    if (home.account !== undefined) {
      await chown(draft, home.account.uid, home.account.gid);
      await chown(passwordFile, home.account.uid, home.account.gid);
    }
    const args = [`--pgdata=${draft}`, `--username=${superuser.name}`, `--pwfile=${passwordFile}`];
    args.push("--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-instructions");
    if (!fsync) args.push("--no-sync");
    await run(join(binDirectory, "initdb"), args, { ...home.account, cwd: "/", env: postgresEnvironment });
    await rename(draft, home.cluster);
  } catch (error) {
    throw new DatabaseUnusable(`initdb could not make the database in ${home.directory}: ${lastLine(error)}`, {
      cause: error,
    });
  } finally {
    await removeLeftovers([draft, passwordFile]);
  }
}

/**
 * The whole environment of initdb and Postgres. The service's own stays out of it: it may hold the key, and another
 * account's processes could read it there.
 */
export const postgresEnvironment = { LC_ALL: "C", TZ: "UTC", PATH: "/usr/bin:/bin" };

/** Whether a finished cluster is there. */
export async function clusterExists(cluster: string): Promise<boolean> {
  return access(cluster).then(
    () => true,
    () => false,
  );
}

/** @throws {DatabaseUnusable} when the cluster was made by another major version than that of the binaries. */
export async function checkMajorVersion(cluster: string, packageVersion: string): Promise<void> {
  const found = (await readFile(join(cluster, "PG_VERSION"), "utf8").catch(() => "")).trim();
  const wanted = packageVersion.split(".", 1)[0];
  if (found === wanted) return;
  throw new DatabaseUnusable(
    `${cluster} was made by Postgres ${found || "of an unknown version"}, but this release brings Postgres ${wanted}. Dump it with the release that made it and load it into a new one.`,
  );
}

async function removeLeftovers(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true })));
}

function lastLine(error: unknown): string {
  const stderr = error instanceof Error && "stderr" in error && typeof error.stderr === "string" ? error.stderr : "";
  const lines = stderr.trim().split("\n");
  const fallback = error instanceof Error ? error.message : "unknown";
  return lines.findLast((line) => line.startsWith("initdb: error:")) ?? lines.at(-1) ?? fallback;
}
