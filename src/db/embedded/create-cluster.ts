import { execFile } from "node:child_process";
import { access, chown, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { DatabaseUnusable } from "../wait-for-database.js";
import type { ClusterHome } from "./cluster-home.js";

const run = promisify(execFile);

/** The settings of initdb that differ between a database that must last and a throw-away one. */
export type Durability = { fsync: boolean };

const draftPrefix = "postgres.incomplete-";

/**
 * Runs `initdb` where no cluster is yet. It works in a directory of its own, out of which the finished cluster is moved
 * in one step: what a crash has left behind is never taken for a database. The directory's name is new each time, because
 * the initdb of a killed service goes on by itself for a moment.
 * @param superuser becomes the owner of the cluster; every connection needs a password (scram-sha-256).
 */
export async function createCluster(
  binDirectory: string,
  home: ClusterHome,
  superuser: { name: string; password: string },
  { fsync }: Durability,
): Promise<void> {
  const draft = await mkdtemp(join(home.directory, draftPrefix));
  const passwordFile = join(draft, "password");
  const cluster = join(draft, "cluster");
  try {
    await writeFile(passwordFile, superuser.password, { flag: "wx", mode: 0o600 });
    if (home.account !== undefined) {
      await chown(draft, home.account.uid, home.account.gid);
      await chown(passwordFile, home.account.uid, home.account.gid);
    }
    const args = [`--pgdata=${cluster}`, `--username=${superuser.name}`, `--pwfile=${passwordFile}`];
    args.push("--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-instructions");
    if (!fsync) args.push("--no-sync");
    await run(join(binDirectory, "initdb"), args, { ...home.account, cwd: "/", env: postgresEnvironment });
    await rename(cluster, home.cluster);
  } catch (error) {
    throw new DatabaseUnusable(`initdb could not make the database in ${home.directory}: ${lastLine(error)}`, {
      cause: error,
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** Removes what initdb left when its service was killed. To be called by the holder of the data directory only. */
export async function removeUnfinishedClusters(home: ClusterHome): Promise<void> {
  for (const name of await readdir(home.directory)) {
    // One that is still being written to comes back, and goes at the next start.
    if (name.startsWith(draftPrefix)) {
      await rm(join(home.directory, name), { recursive: true, force: true }).catch(() => undefined);
    }
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

function lastLine(error: unknown): string {
  const stderr = error instanceof Error && "stderr" in error && typeof error.stderr === "string" ? error.stderr : "";
  const lines = stderr.trim().split("\n");
  const fallback = error instanceof Error ? error.message : "unknown";
  // initdb goes on to say that it removes what it made; the cause is above that, in its own words or those of Postgres.
  const cause = lines.find((line) => /No space left|quota exceeded|^(?:\S+ )*(?:FATAL|PANIC):/i.test(line));
  return cause ?? lines.findLast((line) => line.startsWith("initdb: error:")) ?? (lines.at(-1) || fallback);
}
