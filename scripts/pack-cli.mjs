// `npm run pack:cli [-- FOLDER]`: packs the command line of a job, alone, as a tarball that `npm install -g` takes
// without asking any registry: our files and commander. Prints the tarball's path and its SHA-256.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildOrExit } from "./build.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const programs = {
  "factory-secrets": "dist/cli/ci/job-program.js",
  "docker-credential-factory-secrets": "dist/cli/docker-credential-factory-secrets.js",
};

await buildOrExit();
const folder = resolve(process.argv[2] ?? ".");
const stage = await mkdtemp(join(tmpdir(), "factory-secrets-cli-"));
try {
  const tarball = await pack(stage, folder);
  const digest = createHash("sha256")
    .update(await readFile(tarball))
    .digest("hex");
  console.log(`${tarball}\nsha256 ${digest}`);
} finally {
  await rm(stage, { recursive: true, force: true });
}

/** Lays the package out in `stage` and has npm make a tarball of it in `folder`. Gives its path. */
async function pack(stage, folder) {
  const { version, description, license, engines, dependencies } = JSON.parse(
    await readFile(join(root, "package.json"), "utf8"),
  );
  const packages = await copyWithImports(Object.values(programs), stage);
  const bin = {};
  for (const [name, program] of Object.entries(programs)) {
    bin[name] = `bin/${name}.mjs`;
    await mkdir(join(stage, "bin"), { recursive: true });
    await writeFile(join(stage, bin[name]), starterOf(program));
    await chmod(join(stage, bin[name]), 0o755);
  }
  for (const name of packages) {
    const to = join(stage, "node_modules", name);
    await cp(join(root, "node_modules", name), to, { recursive: true, dereference: true });
  }
  await cp(join(root, "LICENSE"), join(stage, "LICENSE"));
  const manifest = {
    name: "factory-secrets-cli",
    version,
    description: `${description}: the command line of a job`,
    license,
    private: true,
    type: "module",
    engines,
    bin,
    dependencies: Object.fromEntries(packages.map((name) => [name, dependencies[name]])),
    bundleDependencies: packages,
  };
  await writeFile(join(stage, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await mkdir(folder, { recursive: true });
  const { stdout } = await promisify(execFile)("npm", ["pack", "--json", "--pack-destination", folder], { cwd: stage });
  return join(folder, JSON.parse(stdout)[0].filename);
}

function starterOf(program) {
  return `#!/usr/bin/env node
import { run } from "../${program}";

process.exitCode = await run(process.argv.slice(2));
`;
}

/** Copies these built files and all that they import. Gives the packages among that. */
async function copyWithImports(files, stage) {
  const packages = new Set();
  const seen = new Set(files);
  for (const file of seen) {
    const text = await readFile(join(root, file), "utf8");
    await mkdir(dirname(join(stage, file)), { recursive: true });
    await writeFile(join(stage, file), text.replace(/^\/\/# sourceMappingURL=.*$/m, ""));
    for (const [, target] of text.matchAll(/^(?:import|export)\b[^;"]*?\bfrom "([^"]+)";$/gm)) {
      if (target.startsWith(".")) seen.add(join(dirname(file), target));
      else if (!target.startsWith("node:")) packages.add(target);
    }
  }
  return [...packages];
}
