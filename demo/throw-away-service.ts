import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { locateCluster } from "../src/db/embedded/cluster-home.js";
import { findPostmaster, stopPostmaster } from "../src/db/embedded/postmaster.js";

import { settingNames } from "../src/settings/settings.js";

type Look<T> = () => T | undefined | Promise<T | undefined>;

const root = fileURLToPath(new URL("..", import.meta.url));
const startMs = 60_000;
// Longer than the server's own 10 s for what is in flight.
const stopMs = 20_000;

export type RunningService = {
  url: string;
  /** The operator's token that a first start printed; `undefined` on a later one. */
  operatorToken: string | undefined;
  pid: number;
  /** From the start of the process until `/readyz` answered 200. */
  readyAfterMs: number;
  /** Ends the server and its Postgres; the data directory stays. */
  stop(): Promise<void>;
};

/** Builds what the server runs, as `npm start` does. */
export async function buildService(): Promise<void> {
  const child = spawn(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error("The service could not be built.");
}

/**
 * Starts the real server (`node dist/main.js`) on a free port, with its own Postgres in `<directory>/data` and its log
 * in `<directory>/server.log`, or written to `logTo`. `environment` is what an operator would set; settings of this
 * shell do not reach it.
 * @throws Error with what the server said when it does not become ready
 */
export async function startService(
  directory: string,
  input: {
    environment?: Record<string, string>;
    nodeOptions?: readonly string[];
    interrupted?: AbortSignal;
    logTo?: Writable;
  } = {},
): Promise<RunningService> {
  const data = join(directory, "data");
  const log = await open(join(directory, "server.log"), "a");
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...(input.nodeOptions ?? []), join(root, "dist/main.js")], {
    cwd: directory,
    // No proxy precedes it.
    env: {
      ...environmentWithoutSettings(),
      PORT: "0",
      FACTORY_SECRETS_DRAIN_SECONDS: "0",
      FACTORY_SECRETS_DATA_DIR: data,
      ...input.environment,
    },
    stdio: ["ignore", input.logTo ? "pipe" : log.fd, "pipe"],
  });
  await log.close();
  if (input.logTo) child.stdout?.pipe(input.logTo, { end: false });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const waitFor = <T>(look: Look<T>) => waitWhileRunning(child, input.interrupted, look);
  try {
    const url = await waitFor(() => /listens on (https?:\S+)/.exec(said)?.[1]);
    await waitFor(() => isReady(url));
    const readyAfterMs = performance.now() - startedAt;
    // The token is in the same text as the address, which can arrive in pieces.
    if (said.includes("operator's token")) await waitFor(() => printedToken(said));
    return { url, operatorToken: printedToken(said), pid: child.pid ?? 0, readyAfterMs, stop: () => stop(child) };
  } catch (error) {
    await stop(child);
    const lastLines = (await readFile(join(directory, "server.log"), "utf8")).split("\n").slice(-10).join("\n");
    input.interrupted?.throwIfAborted();
    throw new Error(`The server did not start. It said:\n${said}\n${lastLines}`, { cause: error });
  }
}

/** Removes a directory that `startService` ran in, and ends a Postgres that is still running there. */
export async function removeServiceDirectory(directory: string): Promise<void> {
  const cluster = await locateCluster(join(directory, "data"));
  if (cluster !== undefined) {
    const postmaster = await findPostmaster(cluster);
    if (postmaster !== undefined) await stopPostmaster(postmaster);
    // As root it can lie elsewhere, where Postgres' account may enter.
    await rm(cluster, { recursive: true, force: true });
  }
  await rm(directory, { recursive: true, force: true });
}

function environmentWithoutSettings(): NodeJS.ProcessEnv {
  const names = Object.keys(settingNames);
  const isSetting = (name: string) => name.startsWith("FACTORY_SECRETS_") || names.includes(name.replace(/_FILE$/, ""));
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isSetting(name)));
}

async function isReady(url: string): Promise<true | undefined> {
  // It has said that it listens; whom to trust for more than that, its starter knows.
  if (url.startsWith("https:")) return true;
  const reply = await fetch(`${url}/readyz`).catch(() => undefined);
  await reply?.arrayBuffer();
  return reply?.status === 200 ? true : undefined;
}

async function waitWhileRunning<T>(
  child: ChildProcess,
  interrupted: AbortSignal | undefined,
  look: Look<T>,
): Promise<T> {
  const deadline = performance.now() + startMs;
  while (performance.now() < deadline) {
    interrupted?.throwIfAborted();
    const found = await look();
    if (found !== undefined) return found;
    if (hasEnded(child)) throw new Error("The server ended.");
    await sleep(5);
  }
  throw new Error("The server took too long.");
}

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopMs);
  await ended;
  clearTimeout(timer);
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

const printedToken = (said: string): string | undefined => /FACTORY_SECRETS_TOKEN=(fso_\S+)\s/.exec(said)?.[1];
