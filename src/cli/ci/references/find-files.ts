import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { systemReason } from "../../../core/error-code.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";

const dockerfileName =
  /^(?:dockerfile$|(?:Dockerfile|Containerfile)(?:\.(?!dockerignore$|containerignore$)[^.].*)?$)|\.(?:D|d)ockerfile$/s;
const composeName = /^(?:docker-)?compose(?:\.[\w.-]+)?\.ya?ml$/;
const passedOver: ReadonlySet<string> = new Set([".git", "node_modules", ".venv", "__pycache__"]);
const maxFolders = 20_000;

export type FoundFiles = { dockerfiles: string[]; composeFiles: string[] };

/**
 * Finds Dockerfiles and compose files by their names, in a folder and below it. Links are not followed.
 * @returns paths relative to the folder, with slashes, in order
 * @throws CommandFailure when the folder cannot be read
 */
export async function findFiles(directory: string): Promise<FoundFiles> {
  const found: FoundFiles = { dockerfiles: [], composeFiles: [] };
  const folders = [""];
  let looked = 0;
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    looked += 1;
    if (looked > maxFolders)
      throw new CommandFailure(
        exitCodes.failed,
        `${directory} has more than ${maxFolders} folders. Name one with less in it.`,
      );
    const entries = await readdir(join(directory, folder), { withFileTypes: true }).catch((error: unknown) => {
      throw new CommandFailure(exitCodes.failed, `${join(directory, folder)} cannot be read (${systemReason(error)}).`);
    });
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory() && !passedOver.has(entry.name)) folders.push(path);
      if (!entry.isFile()) continue;
      if (dockerfileName.test(entry.name)) found.dockerfiles.push(path);
      if (composeName.test(entry.name)) found.composeFiles.push(path);
    }
  }
  return found;
}
