import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { packageRoot } from "../../core/package-root.js";

export type OfferedFile = {
  file: string;
  content: Buffer;
  /** Hexadecimal. */
  sha256: string;
};

/** The command line as a tarball that `npm install -g` takes. */
export type OfferedCli = OfferedFile & { version: string };

/** Where scripts/build.mjs puts it. */
export const offeredDirectory = new URL("dist/offered/", packageRoot);

/** @returns what the build has packed; `undefined` where that was not done */
export async function readOffered(directory: URL): Promise<OfferedCli | undefined> {
  const names = await readdir(directory).catch(() => []);
  for (const file of names) {
    const version = /^factory-secrets-cli-(\d[\w.-]*)\.tgz$/.exec(file)?.[1];
    if (version === undefined) continue;
    return { version, ...(await readFileOf(directory, file)) };
  }
  return undefined;
}

/** The credential helper for machines without Node: a script, offered as it stands in clients/. */
export const helperFile = "docker-credential-factory-secrets";

export const readOfferedHelper = (): Promise<OfferedFile> => readFileOf(new URL("clients/", packageRoot), helperFile);

async function readFileOf(directory: URL, file: string): Promise<OfferedFile> {
  const content = await readFile(new URL(file, directory));
  return { file, content, sha256: createHash("sha256").update(content).digest("hex") };
}
