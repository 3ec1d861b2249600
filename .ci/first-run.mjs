// `node first-run.mjs CLONE`: starts the service of a clean clone as `npm start` does, on a new data directory, waits
// until it is ready, asks it to stop, and holds it to exit code 0 and to leaving no Postgres behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [, , clone] = process.argv;
const dataDirectory = mkdtempSync(join(tmpdir(), "first-run-"));
const startedAt = Date.now();
const server = spawn(process.execPath, ["scripts/start.mjs"], {
  cwd: clone,
  env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: "0", FACTORY_SECRETS_DATA_DIR: dataDirectory },
  stdio: ["ignore", "pipe", "pipe"],
});
// Its first words hold an operator token: they are shown only where they explain a failure.
let said = "";
server.stderr.setEncoding("utf8").on("data", (text) => {
  said += text;
});
const exited = once(server, "exit");
let ready = false;
const deadline = setTimeout(() => server.kill("SIGKILL"), 120_000);

for await (const line of createInterface({ input: server.stdout })) {
  console.log(line);
  const port = portIn(line);
  if (port !== undefined) await checkAndStop(port);
}
const [code] = await exited;
clearTimeout(deadline);
const orphan = existsSync(join(dataDirectory, "postgres/postmaster.pid"));
rmSync(dataDirectory, { recursive: true, force: true });
console.log(`exit code ${code}${orphan ? ", and Postgres still runs" : ""}`);
if (!ready || code !== 0 || orphan) {
  console.log(said);
  process.exitCode = 1;
}

/** The port in the log line that says where the service listens. */
function portIn(line) {
  if (!line.startsWith("{")) return undefined;
  const { msg, port } = JSON.parse(line);
  return msg === "listening" ? port : undefined;
}

async function checkAndStop(port) {
  const { status } = await fetch(`http://127.0.0.1:${port}/readyz`);
  console.log(`ready (${status}) ${Date.now() - startedAt} ms after the command`);
  // What the service offers to other machines was built by the same start.
  const offered = await fetch(`http://127.0.0.1:${port}/cli`);
  console.log(`/cli (${offered.status})`);
  ready = status === 200 && offered.status === 200;
  server.kill("SIGTERM");
}
