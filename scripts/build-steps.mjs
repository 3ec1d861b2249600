// Builds what Node runs: the Prisma client into src/db/generated, the API's operations for the command line into
// src/cli/operator/generated, then src/ as bundles into dist/, then the command line that the service offers into dist/offered/. Each step is skipped when nothing it reads has changed, so that `npm start` stays
// fast. Used by the other scripts and by `npm run build`.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);

const generated = join(root, "src/db/generated");
const operations = join(root, "src/cli/operator/generated");
const dist = join(root, "dist");
const offered = join(dist, "offered");

/** What Node is started with, and what scripts/write-openapi.mjs reads. */
const programs = [
  { in: "src/service/main.ts", out: "main" },
  ...["cli/factory-secrets", "cli/docker-credential-factory-secrets", "http/openapi", "service/routes"].map((name) => ({
    in: `src/${name}.ts`,
    out: name,
  })),
];

/**
 * A thread of the server, in one file that the server reads when it starts: what is replaced below dist/ afterwards does
 * not break it. A thread made of text has no place of its own to load packages from, so it is given one as `workerData`.
 */
const thread = { in: "src/service/documents/document-thread.ts", out: "service/documents/document-thread" };
const asText = {
  splitting: false,
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  sourcemap: false,
  define: { "import.meta.url": "globalThis.placeOfProgram" },
  banner: {
    js: 'globalThis.placeOfProgram = require("node:worker_threads").workerData; globalThis.require = require("node:module").createRequire(globalThis.placeOfProgram);',
  },
};

const steps = [
  {
    name: "generating the Prisma client",
    reads: ["prisma/schema.prisma", "prisma.config.ts", "package-lock.json"],
    output: generated,
    work: () => run(packageFile("prisma", "build/index.js"), "generate"),
  },
  {
    name: "reducing openapi.yaml",
    reads: ["openapi.yaml", "scripts/reduce-openapi.mjs"],
    output: operations,
    work: async () => (await import("./reduce-openapi.mjs")).writeOperations(join(operations, "operations.ts")),
  },
  {
    name: "bundling TypeScript",
    reads: ["src", "scripts/bundle.mjs", "tsconfig.json", "package-lock.json"],
    output: dist,
    work: bundlePrograms,
  },
  {
    name: "packing the command line",
    // Below dist/, which goes with each change of src/: what it is made of is never newer than it.
    reads: [
      "scripts/cli-package.mjs",
      "scripts/tarball.mjs",
      "bin/require-node.mjs",
      "package.json",
      "package-lock.json",
      "LICENSE",
    ],
    output: offered,
    work: packOffered,
  },
];

/**
 * Runs the steps that are due. `onProgress` is told once, when there is anything to do.
 * Without sources (an image that holds dist/ only) there never is. Throws with the tool's output when a step fails.
 */
export async function build(onProgress) {
  if (!existsSync(join(root, "src"))) return;
  let announced = false;
  for (const step of steps) {
    const stamp = join(step.output, ".built-from");
    const digest = await digestOf(step.reads);
    if (digest === (await readFile(stamp, "utf8").catch(() => undefined))) continue;
    if (!announced) onProgress("Building (only after a change) ...");
    announced = true;
    // A file whose source is gone must not stay behind and be loaded.
    await rm(step.output, { recursive: true, force: true });
    await step.work().catch((error) => {
      throw new Error(`${step.name} failed:\n${error.message}`);
    });
    await mkdir(step.output, { recursive: true });
    await writeFile(stamp, digest);
  }
}

// Names, sizes and times tell a change apart from a checkout of older files or a removed one; reading the files would cost more.
async function digestOf(paths) {
  const hash = createHash("sha256");
  for (const path of paths) {
    for (const file of (await listFiles(join(root, path))).sort()) {
      const { size, mtimeMs } = await stat(file);
      hash.update(`${file}\0${size}\0${mtimeMs}\n`);
    }
  }
  return hash.digest("hex");
}

async function listFiles(path) {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  // The stamp is not a source.
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith("."))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

// Through the package and not node_modules/.bin: that has shell scripts on Windows.
function packageFile(name, file) {
  return join(dirname(require.resolve(`${name}/package.json`)), file);
}

// The tools are loaded only when they have work: most starts have none.
async function bundlePrograms() {
  const { bundle } = await import("./bundle.mjs");
  await bundle(programs, { outdir: dist });
  await bundle([thread], { outdir: dist, ...asText });
}

async function packOffered() {
  const { packCli } = await import("./cli-package.mjs");
  const { fileName, tarball } = await packCli();
  await mkdir(offered, { recursive: true });
  await writeFile(join(offered, fileName), tarball);
}

function run(...args) {
  return new Promise((resolve, reject) => {
    // Prisma's CLI otherwise asks the network for a newer version of itself.
    const env = { ...process.env, CHECKPOINT_DISABLE: "1", PRISMA_HIDE_UPDATE_MESSAGE: "1" };
    const child = spawn(process.execPath, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(output));
    });
  });
}

/** `build`, for a script that cannot go on without it: tells a person why, and ends the process. */
export async function buildOrExit() {
  try {
    await build((message) => console.error(message));
  } catch (error) {
    const isOfAnother = error.code === "EACCES" || error.code === "EPERM" || error.code === "EROFS";
    if (isOfAnother)
      console.error("It was changed since it was built, and this user cannot build it. As its owner: npm run build");
    else console.error(error.message);
    process.exit(1);
  }
}
