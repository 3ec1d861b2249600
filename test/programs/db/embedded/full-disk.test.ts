import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createCluster } from "../../../../src/db/embedded/create-cluster.js";
import { openEmbeddedPostgres } from "../../../../src/db/embedded/open-embedded-postgres.js";
import { makeScratch, type Scratch, silent } from "./scratch.js";

let scratch: Scratch;
const mounted: string[] = [];

beforeEach(async () => {
  scratch = await makeScratch();
});
afterEach(async () => {
  for (const directory of mounted.splice(0)) spawnSync("umount", [directory]);
  await scratch.remove();
});

/** A file system of so few bytes; `undefined` where this process may not make one. */
function smallDisk(): string | undefined {
  const directory = join(scratch.directory, "disk");
  mkdirSync(directory);
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", directory]);
  if (status !== 0) return undefined;
  mounted.push(directory);
  return directory;
}

test("the first start on a disk that is too small says that no space is left", async (context) => {
  const disk = smallDisk();
  if (disk === undefined) return context.skip("only root can make a small file system");
  const dataDirectory = join(disk, "data");
  const opened = openEmbeddedPostgres(silent, { dataDirectory, durability: { fsync: false } });
  await expect(opened).rejects.toThrow(/^initdb could not make the database in .*No space left on device/);
});

test.each([
  ["Postgres's own", "2026-11-30 08:00:00.000 UTC [7] FATAL:  could not write to file: No space left on device"],
  ["initdb's", 'initdb: error: could not create directory "x": No space left on device'],
  ["of a quota", "initdb: error: could not write file: Disk quota exceeded"],
])("a cause in words that are %s is told, and not what initdb says after it", async (_whose, cause) => {
  const binaries = join(scratch.directory, "bin");
  await mkdir(binaries);
  const initdb = join(binaries, "initdb");
  await writeFile(
    initdb,
    `#!/bin/sh\ncat >&2 <<'END'\nrunning bootstrap script ...\n${cause}\nchild process exited with exit code 1\ninitdb: removing data directory "x"\nEND\nexit 1\n`,
  );
  await chmod(initdb, 0o755);
  const home = { directory: scratch.directory, cluster: join(scratch.directory, "postgres"), account: undefined };
  const made = createCluster(binaries, home, { name: "u", password: "p" }, { fsync: false });
  await expect(made).rejects.toThrow(`initdb could not make the database in ${scratch.directory}: ${cause}`);
});
