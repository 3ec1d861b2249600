import { accessSync, constants, mkdirSync, symlinkSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Where a program is on this machine; `undefined` when it is not. */
export function findProgram(name: string): string | undefined {
  const candidates = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A folder for PATH with these programs and no others: what a small image has. */
export function linkPrograms(folder: string, names: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  for (const name of names) {
    const path = findProgram(name);
    if (path === undefined) throw new Error(`this machine has no ${name}`);
    symlinkSync(path, join(folder, name));
  }
  return folder;
}
