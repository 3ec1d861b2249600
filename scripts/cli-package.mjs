// Makes the command line as a package of its own: our files that need no server, bundled, and the packages that they load.
// `npm install -g` takes it without asking any registry.
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";
import { makeTarball } from "./tarball.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const programs = {
  "factory-secrets": "packed-program",
  "docker-credential-factory-secrets": "docker-credential-factory-secrets",
};

/** Gives `{ fileName, tarball }`. */
export async function packCli() {
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const { outputFiles, metafile } = await bundle(
    Object.values(programs).map((program) => `src/cli/${program}.ts`),
    { outdir: join(root, "dist"), write: false },
  );
  const packages = packagesOf(metafile);
  const bins = Object.entries(programs).map(([name, program]) => [`bin/${name}.mjs`, starterOf(program)]);
  const entries = [
    ...outputFiles.map(({ path, contents }) => ({
      path: slashed(relative(root, path)),
      content: Buffer.from(contents),
    })),
    { path: "bin/require-node.mjs", content: await readFile(join(root, "bin/require-node.mjs")) },
    ...bins.map(([path, text]) => ({ path, content: Buffer.from(text), isExecutable: true })),
    { path: "LICENSE", content: await readFile(join(root, "LICENSE")) },
    { path: "package.json", content: Buffer.from(manifestOf(manifest, packages)) },
    ...(await Promise.all((await withDependencies(packages)).map(filesOfPackage))).flat(),
  ];
  const tarball = makeTarball(entries.map((entry) => ({ ...entry, path: `package/${entry.path}` })));
  return { fileName: `factory-secrets-cli-${manifest.version}.tgz`, tarball };
}

function manifestOf({ version, description, license, engines, dependencies }, packages) {
  const manifest = {
    name: "factory-secrets-cli",
    version,
    description: `${description}: the command line`,
    license,
    private: true,
    type: "module",
    engines,
    // `npx URL` runs the program that has the name of the package.
    bin: Object.fromEntries(
      ["factory-secrets-cli", ...Object.keys(programs)].map((name) => [name, `bin/${name.replace(/-cli$/, "")}.mjs`]),
    ),
    dependencies: Object.fromEntries(packages.map((name) => [name, dependencies[name]])),
    bundleDependencies: packages,
  };
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

function starterOf(program) {
  return `#!/usr/bin/env node
import { isNodeNewEnough } from "./require-node.mjs";

if (isNodeNewEnough())
  import("../dist/cli/${program}.js").then(async ({ run }) => {
    process.exitCode = await run(process.argv.slice(2));
  });
`;
}

/** The packages that a bundle imports, other than Node's own. */
function packagesOf({ outputs }) {
  const imports = Object.values(outputs).flatMap((output) => output.imports);
  const names = imports.filter(({ external, path }) => external && !path.startsWith("node:")).map(({ path }) => path);
  return [...new Set(names)].sort();
}

/** These packages and all that they depend on. */
async function withDependencies(packages) {
  const all = new Set(packages);
  for (const name of all) {
    const manifest = await readFile(join(folderOfPackage(name), "package.json"), "utf8");
    for (const dependency of Object.keys(JSON.parse(manifest).dependencies ?? {})) all.add(dependency);
  }
  return [...all];
}

/** Of a package that has several APIs, those that nothing here loads; each module also comes once more for `require`. */
const unusedFiles = {
  zod: /^(v3|v4-mini|mini|v4\/mini)\/|\.cjs$/,
  "@jmespath-community/jmespath": /^dist\/(?!(index|cli)\.mjs$)/,
};

/** What of a package runs in Node: no types, no sources, no source maps, nothing for browsers. */
async function filesOfPackage(name) {
  const folder = folderOfPackage(name);
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((entry) => entry.isFile())
    .map((entry) => posix.relative(slashed(folder), slashed(join(entry.parentPath ?? entry.path, entry.name))))
    .filter((path) => !/^(browser|node_modules|typings)\/|\.([cm]?ts|map)$/.test(path))
    .filter((path) => unusedFiles[name]?.test(path) !== true);
  return Promise.all(
    paths.map(async (path) => ({ path: `node_modules/${name}/${path}`, content: await readFile(join(folder, path)) })),
  );
}

const slashed = (path) => path.replaceAll("\\", "/");

// Wherever npm has put it: in a workspace, or below another package, that is not beside us.
function folderOfPackage(name) {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const found = folders.map((folder) => join(folder, name)).find((folder) => existsSync(join(folder, "package.json")));
  if (found === undefined) throw new Error(`the package ${name} is not installed: run npm ci`);
  return found;
}
