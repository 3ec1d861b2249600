// `npm run openapi`: writes openapi.yaml from the routes. With `--check` it only compares, for CI.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { buildOrExit } from "./build-steps.mjs";

await buildOrExit();
const { openApiTexts } = await import(new URL("../dist/http/openapi.js", import.meta.url));
const { routes } = await import(new URL("../dist/service/routes.js", import.meta.url));

const file = fileURLToPath(new URL("../openapi.yaml", import.meta.url));
const { yaml } = openApiTexts(routes);
const committed = await readFile(file, "utf8").catch(() => "");

if (committed === yaml) {
  console.log("openapi.yaml is what the routes say.");
} else if (process.argv.includes("--check")) {
  console.error("openapi.yaml is not what the routes say. Run `npm run openapi` and commit it.");
  process.exitCode = 1;
} else {
  await writeFile(file, yaml);
  console.log("openapi.yaml is written.");
}
