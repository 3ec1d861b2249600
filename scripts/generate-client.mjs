// Generates the TypeScript client of openapi.yaml into test/generated and compiles it there, as a user of the document
// would. One test uses it. Run by `npm test` and `npm run typecheck`; skipped when openapi.yaml has not changed.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = [
  join(root, "openapi.yaml"),
  join(root, "test/support/openapi/tsconfig.client.json"),
  fileURLToPath(import.meta.url),
];
const [document, tsconfig] = sources;
const output = join(root, "test/generated");
const stamp = join(output, ".generated-from");

/** Writes test/generated/client.ts and compiles it to test/generated/compiled/. Throws when either fails. */
export async function generateClient() {
  const hash = createHash("sha256");
  for (const source of sources) hash.update(await readFile(source));
  const digest = hash.digest("hex");
  if (digest === (await readFile(stamp, "utf8").catch(() => undefined))) return;
  const { generateApi } = await import("swagger-typescript-api");
  await mkdir(output, { recursive: true });
  const { files } = await generateApi({ input: document, output: false, httpClientType: "fetch", silent: true });
  // The generator tells compilers to look away. Here they are to look.
  const code = files.map(({ fileContent }) => fileContent.replace("// @ts-nocheck\n", "")).join("\n");
  await writeFile(join(output, "client.ts"), code);
  await compile();
  await writeFile(stamp, digest);
}

async function compile() {
  const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");
  try {
    await promisify(execFile)(process.execPath, [tsc, "-p", tsconfig], { cwd: root });
  } catch (error) {
    throw new Error(`The client generated from openapi.yaml does not compile:\n${error.stdout}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await generateClient();
