// The command of the clone builds what is stale first; an installed package and the image have no sources to build.
import { existsSync } from "node:fs";

const build = new URL("../scripts/build-steps.mjs", import.meta.url);
if (existsSync(build) && existsSync(new URL("../src", import.meta.url))) await (await import(build)).buildOrExit();
const { run } = await import(new URL("../dist/cli/factory-secrets.js", import.meta.url));
process.exitCode = await run(process.argv.slice(2));
