import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";

const helper = fileURLToPath(new URL("../../../clients/docker-credential-factory-secrets", import.meta.url));

/** What a device has beside curl. busybox brings its own; the others use the system's. */
const tools = ["sed", "tr", "id", "sleep", "cat", "grep", "mv"];

const find = (program: string): string | undefined =>
  (process.env.PATH ?? "")
    .split(":")
    .map((folder) => join(folder, program))
    .find(existsSync);

export const hasCurl = spawnSync("curl", ["--version"]).status === 0;

export type Shell = { name: string; program: string; args: readonly string[]; isMissing: boolean };

/** The shells that a device or a small image may have, and why one is not tried here. */
export const shells: readonly Shell[] = [
  shell("dash", "dash", []),
  shell("busybox sh", "busybox", ["sh"]),
  shell("bash --posix", "bash", ["--posix"]),
];

function shell(name: string, program: string, args: readonly string[]): Shell {
  const missing = [program, "curl"].filter((one) => find(one) === undefined);
  const reason = missing.length > 0 ? ` (skipped: ${missing.join(" and ")} is not installed)` : "";
  return { name: `${name}${reason}`, program, args, isMissing: reason !== "" };
}

/** One of them that is here, for what does not depend on the shell. */
export const anyShell: Shell = shells.find(({ isMissing }) => !isMissing) ?? shell("sh", "sh", []);

/** A machine with a shell and curl, and settings of its own. */
export type ShMachine = {
  directory: string;
  environment: Record<string, string>;
  /** Writes a file of this machine. @returns its path */
  write(name: string, text: string): string;
  /** From now on each call of this program is written down, then done with further arguments, or not at all. */
  watch(program: string, instead?: { moreArguments?: string; doNothing?: boolean }): void;
  /** The arguments of every program that is watched, a call on a line. */
  calls(): string[];
  /** `docker-credential-factory-secrets MODE`. */
  helper(mode: string, input?: string, environment?: Record<string, string>): Promise<ProgramResult>;
  /** A script by its text, as a container's `sh -c` runs it. */
  script(text: string, environment?: Record<string, string>): Promise<ProgramResult>;
  close(): void;
};

export function openShMachine({ program, args }: Shell, environment: Record<string, string> = {}): ShMachine {
  const directory = mkdtempSync(join(tmpdir(), "sh-machine-"));
  const folder = join(directory, "bin");
  const calls = join(directory, "calls");
  mkdirSync(folder);
  const real = (tool: string) => find(program === "busybox" && tool !== "curl" ? "busybox" : tool) ?? tool;
  for (const tool of [...tools, "curl"]) symlinkSync(real(tool), join(folder, tool));
  const shellPath = find(program) ?? program;
  const own = { PATH: folder, HOME: directory, FACTORY_SECRETS_CLIENT_CONF: "", ...environment };
  const run = (rest: readonly string[], input: string, extra: Record<string, string>) =>
    runProgram(shellPath, [...args, ...rest], { ...own, ...extra }, input);
  return {
    directory,
    environment: own,
    write(name, text) {
      const path = join(directory, name);
      writeFileSync(path, text);
      return path;
    },
    watch(tool, { moreArguments = "", doNothing = false } = {}) {
      const path = join(folder, tool);
      rmSync(path);
      const target = real(tool).endsWith("busybox") ? `busybox ${tool}` : tool;
      const done = doNothing
        ? ""
        : `exec ${find(target.split(" ")[0] ?? "")} ${target.split(" ")[1] ?? ""} "$@" ${moreArguments}\n`;
      writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "${tool} $*" >>${calls}\n${done}`);
      chmodSync(path, 0o755);
    },
    calls: () => (existsSync(calls) ? readFileSync(calls, "utf8").trimEnd().split(/ *\n/) : []),
    helper: (mode, input = "", extra = {}) => run([helper, mode], input, extra),
    script: (text, extra = {}) => run(["-c", text], "", extra),
    close: () => rmSync(directory, { recursive: true }),
  };
}
