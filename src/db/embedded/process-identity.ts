import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { errorCode } from "../../core/error-code.js";

const run = promisify(execFile);
const hasProc = existsSync("/proc/self/stat");

/**
 * What tells a running process from every other that had or will have its pid: its start time and, on Linux, the boot.
 * Made of letters, digits and `-`. `undefined` when no such process runs; a zombie does not run.
 */
export async function processIdentity(pid: number): Promise<string | undefined> {
  if (hasProc) return identityFromProc(pid);
  if (process.platform === "win32") return respondsToSignals(pid) ? "running" : undefined;
  const [state, ...started] = (await ps(pid, "state=,lstart=")).split(/\s+/);
  if (!state || state.startsWith("Z")) return undefined;
  return started.join("-").replace(/[^A-Za-z0-9-]/g, "-");
}

/** The command line of a process as one string, empty when it is gone. */
export async function commandLine(pid: number): Promise<string> {
  if (!hasProc) return process.platform === "win32" ? "" : ps(pid, "command=");
  const raw = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return raw.replaceAll("\0", " ").trim();
}

/** Whether the pid can be signalled or belongs to someone else. Cheap; a recycled pid also answers. */
export function respondsToSignals(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

// proc(5): the command, in parentheses, may hold spaces and parentheses itself; field 3 is the state, field 22 the start time in ticks since boot.
async function identityFromProc(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields[0], fields[19]];
  if (state === "Z" || state === "X" || startTicks === undefined) return undefined;
  const bootId = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
  return `${startTicks}-${bootId.slice(0, 8)}`;
}

async function ps(pid: number, columns: string): Promise<string> {
  // A fixed locale: the start time must read the same to two users.
  const env = { LC_ALL: "C", TZ: "UTC", PATH: "/usr/bin:/bin" };
  const { stdout } = await run("ps", ["-ww", "-o", columns, "-p", String(pid)], { env }).catch(() => ({ stdout: "" }));
  return stdout.trim();
}
