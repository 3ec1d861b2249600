import { lstat, readlink, realpath } from "node:fs/promises";
import type { PlatformPath } from "node:path";
import { dirname, isAbsolute, resolve } from "node:path";
import type { Environment } from "../../../settings/reader.js";

/**
 * The folder with docker's `config.json`: `DOCKER_CONFIG`, or `.docker` in the user's home.
 * Source: docker documentation, "docker (base command)", configuration files.
 * @param path - of the system that the names are for
 */
export function dockerConfigDirectory(environment: Environment, home: string, path: PlatformPath): string {
  return environment.DOCKER_CONFIG || path.join(home, ".docker");
}

/**
 * The file that `path` leads to through symbolic links, although that may not exist yet. Whoever wrote over the link
 * would cut it from the file that other programs keep using.
 */
export async function realFile(path: string): Promise<string> {
  const found = await realpath(path).catch(() => undefined);
  if (found !== undefined) return found;
  const isLink = await lstat(path).then(
    (stat) => stat.isSymbolicLink(),
    () => false,
  );
  if (!isLink) return path;
  const target = await readlink(path);
  return isAbsolute(target) ? target : resolve(dirname(path), target);
}
