import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signal-while-loading-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

// The start script listens for a signal before it loads the server. This sends the signal at that moment.
const signalWhileLoading = (signal: string) =>
  `data:text/javascript,${encodeURIComponent(`
    const onListener = (name) => {
      if (name !== ${JSON.stringify(signal)}) return;
      process.off("newListener", onListener);
      setImmediate(() => process.kill(process.pid, name));
    };
    process.on("newListener", onListener);
  `)}`;

test.each(["SIGINT", "SIGTERM"])("%s while `npm start` loads the server ends it", async (signal) => {
  const child = spawn(process.execPath, ["--import", signalWhileLoading(signal), "scripts/start.mjs"], {
    env: { ...process.env, PORT: "0", FACTORY_SECRETS_DATA_DIR: directory },
    stdio: "ignore",
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  const [code, endedBy] = await once(child, "exit");
  expect({ code, endedBy, made: await readdir(directory) }).toEqual({ code: null, endedBy: signal, made: [] });
});
