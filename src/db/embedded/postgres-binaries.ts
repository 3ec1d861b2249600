import { chmod, cp, lstat, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, extname, join, relative } from "node:path";
import * as z from "zod";
import { errorCode } from "../../core/error-code.js";
import type { ClusterHome } from "./cluster-home.js";
import type { PlatformPackage } from "./platform-package.js";
import { canRun } from "./postgres-account.js";

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
