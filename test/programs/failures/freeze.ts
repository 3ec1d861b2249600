import { readdir, readFile } from "node:fs/promises";

/** Sends a signal to a process and to its children (Linux). Postgres' backends are no process group of their postmaster. */
export async function signalWithChildren(pid: number, signal: "SIGSTOP" | "SIGCONT"): Promise<void> {
  const parents = new Map<number, number>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const status = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    // The name of the program is in parentheses, and may hold any character.
    const [, parent = ""] = status.slice(status.lastIndexOf(")") + 2).split(" ");
    parents.set(Number(name), Number(parent));
  }
  const pids = [pid, ...[...parents].filter(([, parent]) => parent === pid).map(([child]) => child)];
  for (const one of pids) {
    try {
      process.kill(one, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
}
