import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, chmod, chown, mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { errorCode } from "../../core/error-code.js";
import { readPrivateFile, writePrivateFile } from "../data-directory.js";
import { DatabaseUnusable } from "../wait-for-database.js";

/** Where Postgres keeps its files, and the account that it runs under there. */
export type ClusterHome = {
  /** The data directory itself, or a directory below `systemDirectory`. */
  directory: string;
  /** The Postgres data directory (PGDATA) in it. */
  cluster: string;
  account: PostgresAccount | undefined;
};

const locationFile = "postgres-location";
const clusterName = "postgres";

/** Where the cluster of a data directory lies, without making one. `undefined` when there is none yet. */
export async function locateCluster(dataDirectory: string): Promise<string | undefined> {
  const recorded = (await readPrivateFile(join(dataDirectory, locationFile)))?.trim();
  if (recorded !== undefined) return join(recorded, clusterName);
  const cluster = join(dataDirectory, clusterName);
  return (await exists(cluster)) ? cluster : undefined;
}

/**
 * Decides where the cluster lies. As a rule that is the data directory. As root, Postgres runs under another account, and
 * where that account cannot enter (a clone in /root), a directory is made below `systemDirectory`. The data directory
 * then records it in `postgres-location`, and it says in turn to whom it belongs: both are needed, neither is temporary.
 * @throws {DatabaseUnusable} when a recorded place is gone (a new, empty database would hide the loss) or none can be made.
 */
export async function settleClusterHome(dataDirectory: string, systemDirectory: string): Promise<ClusterHome> {
  const cluster = await locateCluster(dataDirectory);
  const account = await choosePostgresAccount(cluster === undefined ? [dataDirectory] : [cluster, dataDirectory]);
  const directory = cluster === undefined ? dataDirectory : dirname(cluster);
  if (directory !== dataDirectory && !(await exists(directory))) {
    throw new DatabaseUnusable(
      `The database of ${dataDirectory} lies in ${directory}, which is gone. Bring it back; or, to begin with an empty database, remove ${dataDirectory}.`,
    );
  }
  if (account === undefined || (await openToAccount(directory, account))) {
    return { directory, cluster: join(directory, clusterName), account };
  }
  if (cluster !== undefined) throw unreachable(directory, account);
  const home = await makeSystemHome(dataDirectory, systemDirectory, account);
  return { directory: home, cluster: join(home, clusterName), account };
}

// Root's data directory is 0700. Leave to pass through it (not to list it) is all that the account needs: the files in it stay 0600.
async function openToAccount(directory: string, account: PostgresAccount): Promise<boolean> {
  if (await canEnter(account, directory)) return true;
  if (!(await canEnter(account, dirname(directory)))) return false;
  const { mode } = await stat(directory);
  await chmod(directory, (mode & 0o7777) | 0o011);
  return canEnter(account, directory);
}

async function makeSystemHome(
  dataDirectory: string,
  systemDirectory: string,
  account: PostgresAccount,
): Promise<string> {
  const home = join(systemDirectory, randomBytes(6).toString("hex"));
  try {
    await mkdir(systemDirectory, { recursive: true, mode: 0o755 });
    await mkdir(home, { mode: 0o700 });
    await writeFile(join(home, "belongs-to"), `${dataDirectory}\n`, { mode: 0o600 });
    await chown(home, account.uid, account.gid);
  } catch (error) {
    throw new DatabaseUnusable(`${unreachable(dataDirectory, account).message} (${home}: ${errorCode(error)})`, {
      cause: error,
    });
  }
  if (!(await canEnter(account, home))) throw unreachable(home, account);
  await writePrivateFile(join(dataDirectory, locationFile), `${home}\n`);
  return home;
}

function unreachable(directory: string, account: PostgresAccount): DatabaseUnusable {
  return new DatabaseUnusable(
    `Postgres does not run as root, and the user it would run as (uid ${account.uid}) cannot enter ${directory}. Set FACTORY_SECRETS_DATA_DIR to a directory that this user can enter, start the service as another user, or set DATABASE_URL.`,
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const run = promisify(execFile);

/** The account that Postgres runs under when the service itself runs as root, which Postgres refuses. */
export type PostgresAccount = { uid: number; gid: number };

/**
 * Chooses the account: `undefined` (the service's own) unless this is root; else the owner of the first of `paths` that
 * exists and is not root's (an existing cluster, then the data directory); else `nobody`.
 */
export async function choosePostgresAccount(paths: readonly string[]): Promise<PostgresAccount | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  for (const path of paths) {
    const owner = await stat(path).catch(() => undefined);
    if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  }
  try {
    return { uid: await askId("-u"), gid: await askId("-g") };
  } catch (error) {
    throw new DatabaseUnusable(
      "Postgres does not run as root, and this machine has no user `nobody` to run it as. Start the service as another user, or set DATABASE_URL.",
      { cause: error },
    );
  }
}

/** Whether the account can enter a directory: asked of the system itself, so that access lists and mounts count too. */
export async function canEnter(account: PostgresAccount, directory: string): Promise<boolean> {
  return succeeds("/bin/sh", ["-c", 'cd -- "$1"', "sh", directory], account);
}

/** Whether the account can run a program: its file and every directory above it. */
export async function canRun(account: PostgresAccount, program: string): Promise<boolean> {
  return succeeds(program, ["--version"], account);
}

async function succeeds(program: string, args: readonly string[], account: PostgresAccount): Promise<boolean> {
  return run(program, args, { ...account, cwd: "/", env: {} }).then(
    () => true,
    () => false,
  );
}

async function askId(flag: "-u" | "-g"): Promise<number> {
  const { stdout } = await run("id", [flag, "nobody"]);
  return Number.parseInt(stdout, 10);
}
