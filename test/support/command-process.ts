import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { recordText } from "./leak-watch.js";

const program = fileURLToPath(new URL("../../bin/factory-secrets.mjs", import.meta.url));

/** The real command, in a process of its own. */
export type CommandProcess = {
  kill(): void;
  /** Resolves when it has ended; `code` is `null` after a SIGKILL. */
  ended: Promise<{ code: number | null; out: Buffer; err: string }>;
};

/** Starts `factory-secrets` with these settings and nothing else of the environment. */
export function startCommand(settings: Readonly<Record<string, string>>, ...argv: string[]): CommandProcess {
  const child = spawn(process.execPath, [program, ...argv], {
    env: { PATH: process.env.PATH ?? "", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const out: Buffer[] = [];
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const ended = once(child, "close").then(([code]) => {
    recordText(err);
    return { code: typeof code === "number" ? code : null, out: Buffer.concat(out), err };
  });
  return { kill: () => void child.kill("SIGKILL"), ended };
}

export const runCommand = (settings: Readonly<Record<string, string>>, ...argv: string[]) =>
  startCommand(settings, ...argv).ended;
