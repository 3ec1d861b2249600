import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { recordText } from "../../support/leak-watch.js";

const program = fileURLToPath(new URL("../../../dist/main.js", import.meta.url));

/** The real program: `node dist/main.js`, as `npm run build` made it. */
export type ServerProcess = {
  pid: number;
  /** Resolves with where it listens. @throws with what it said, when it ended instead */
  listening(): Promise<string>;
  /** What it has said to the operator (standard error). */
  said(): string;
  /** Sends a signal. */
  signal(name: "SIGKILL" | "SIGTERM" | "SIGINT" | "SIGHUP"): void;
  /** Nobody reads what it says and logs any more: its next write meets a closed pipe. */
  stopReading(): void;
  /** Resolves with its exit code when it has ended; `null` after a SIGKILL. */
  ended: Promise<number | null>;
};

const running = new Set<ServerProcess>();

/** Starts the program with these settings and nothing else of the environment. */
export function startServerProcess(settings: Readonly<Record<string, string>>): ServerProcess {
  const child = spawn(process.execPath, [program], {
    // The tests that are about the drain set it.
    env: { PATH: process.env.PATH ?? "", PORT: "0", FACTORY_SECRETS_DRAIN_SECONDS: "0", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  createInterface({ input: child.stdout }).on("line", recordText);
  const ended = once(child, "close").then(([code]): number | null => {
    running.delete(server);
    return typeof code === "number" ? code : null;
  });
  const url = new Promise<string | undefined>((resolve) => {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const found = /listens on (https?:\/\/\S+)\n/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    void ended.then(() => resolve(undefined));
  });
  const server: ServerProcess = {
    pid: child.pid ?? 0,
    async listening() {
      const found = await url;
      if (found === undefined) throw new Error(`the server ended with ${await ended}:\n${said}`);
      return found;
    },
    said: () => said,
    signal: (name) => void child.kill(name),
    stopReading() {
      child.stdout.destroy();
      child.stderr.destroy();
    },
    ended,
  };
  running.add(server);
  return server;
}

/** Ends what a failed test left running. */
export async function endServerProcesses(): Promise<void> {
  const left = [...running];
  for (const server of left) server.signal("SIGTERM");
  await Promise.all(left.map(({ ended }) => ended));
}
