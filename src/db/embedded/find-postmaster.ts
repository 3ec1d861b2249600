import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../core/error-code.js";
import { DatabaseUnusable } from "../database-unusable.js";
import { commandLine, processIdentity } from "./process-identity.js";

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
