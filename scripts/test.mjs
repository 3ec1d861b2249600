// `npm test`: builds what the tests import or run, then runs vitest with the arguments given (`npm test -- test/db`).
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildOrExit } from "./build-steps.mjs";
import { generateClient } from "./generate-client.mjs";

await buildOrExit();
await generateClient();

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const child = spawn(process.execPath, [vitest, "run", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });

// A terminal sends Ctrl-C to both; this one stays until vitest has taken the database down. `kill` reaches only this one.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => child.kill("SIGTERM"));

child.on("exit", (code) => {
  process.exitCode = code ?? 1;
});
