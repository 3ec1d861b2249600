import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { locateCluster } from "../src/db/embedded/cluster-home.js";
import { findPostmaster } from "../src/db/embedded/postmaster.js";

/** MiB. Postgres's processes share most of their memory, so theirs is the sum of proportional shares (PSS). */
export type Memory = { nodeMiB: number; postgresMiB: number };

/** Reads the memory of the server and of its Postgres; `undefined` where there is no /proc. */
export async function readMemory(serverPid: number, directory: string): Promise<Memory | undefined> {
  if (process.platform !== "linux") return undefined;
  const cluster = await locateCluster(join(directory, "data"));
  const postmaster = cluster === undefined ? undefined : await findPostmaster(cluster);
  if (postmaster === undefined) return undefined;
  const pids = [postmaster.pid, ...(await childrenOf(postmaster.pid))];
  const shares = await Promise.all(pids.map((pid) => kibibytes(`/proc/${pid}/smaps_rollup`, "Pss")));
  const node = await kibibytes(`/proc/${serverPid}/status`, "VmRSS");
  return { nodeMiB: node / 1024, postgresMiB: shares.reduce((sum, share) => sum + share, 0) / 1024 };
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(
    pids.map(async (pid) => ({ pid, parent: await kibibytes(`/proc/${pid}/status`, "PPid") })),
  );
  return parents.filter((process) => process.parent === parent).map(({ pid }) => pid);
}

// A process that has just ended counts nothing.
async function kibibytes(path: string, field: string): Promise<number> {
  const text = await readFile(path, "utf8").catch(() => "");
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
}
