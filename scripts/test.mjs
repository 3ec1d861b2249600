// `npm test`: builds what the tests import or run, then runs vitest with the arguments given (`npm test -- test/service/db`).
// Tests of the project `unit` need the Prisma client alone. `--watch` runs them again at each change. `--long` runs in full
// what is repeated for confidence (test/support/rounds.ts).
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildOrExit } from "./build-steps.mjs";
import { generateClient } from "./generate-client.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const own = ["--watch", "--long"];
const given = process.argv.slice(2);
const args = given.filter((one) => !own.includes(one));

if (areAllUnit(args)) await buildOrExit({ clientOnly: true });
else {
  await buildOrExit();
  await generateClient();
}

const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const command = given.includes("--watch") ? "watch" : "run";
const child = spawn(process.execPath, [vitest, command, ...args], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, ...(given.includes("--long") && { FACTORY_SECRETS_TEST_LONG: "1" }) },
});

// A terminal sends Ctrl-C to both; this one stays until vitest has taken the database down. `kill` reaches only this one.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => child.kill("SIGTERM"));

child.on("exit", (code) => {
  process.exitCode = code ?? 1;
});

/** Whether projects are named, or else files, and all of them are of `unit`. */
function areAllUnit(args) {
  const projects = args.filter((one) => one.startsWith("--project="));
  if (projects.length > 0) return projects.every((one) => one === "--project=unit");
  const files = args.filter((one) => !one.startsWith("-"));
  return files.length > 0 && files.every((one) => one.startsWith("test/unit/"));
}
