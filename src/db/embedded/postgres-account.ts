import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { DatabaseUnusable } from "../database-unusable.js";

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
