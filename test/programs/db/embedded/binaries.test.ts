import { access, chmod, cp, lstat, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openEmbeddedPostgres } from "../../../../src/db/embedded/open-embedded-postgres.js";
import {
  findPlatformPackage,
  type PlatformPackage,
  thisMachine,
} from "../../../../src/db/embedded/postgres-binaries.js";
import { boundPostgresLog } from "../../../../src/db/embedded/postmaster.js";
import { makeScratch, query, type Scratch, silent } from "./scratch.js";

const isRoot = process.geteuid?.() === 0;

let scratch: Scratch;

beforeEach(async () => {
  scratch = await makeScratch();
});

afterEach(() => scratch.remove());

/** The package as `npm ci --ignore-scripts` leaves it: without links. */
async function copyWithoutLinks(directory: string): Promise<PlatformPackage> {
  const source = await findPlatformPackage(thisMachine());
  await cp(source.directory, directory, {
    recursive: true,
    filter: async (path) => !(await lstat(path)).isSymbolicLink(),
  });
  return { directory, version: source.version };
}

describe("the binaries", () => {
  it("get the links that npm was told not to make", async () => {
    const platformPackage = await copyWithoutLinks(join(scratch.directory, "package"));
    const server = await openEmbeddedPostgres(
      { ...silent, platformPackage },
      { dataDirectory: scratch.dataDirectory, durability: { fsync: false } },
    );
    expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await server.stop();
    expect(await readdir(scratch.dataDirectory)).not.toContain(`postgres-binaries-${platformPackage.version}`);
  });

  it.skipIf(isRoot)("are copied beside the data when their package may not be written", async () => {
    const platformPackage = await copyWithoutLinks(join(scratch.directory, "package"));
    const lib = join(platformPackage.directory, "native", "lib");
    await chmod(lib, 0o555);
    try {
      const server = await openEmbeddedPostgres(
        { ...silent, platformPackage },
        { dataDirectory: scratch.dataDirectory, durability: { fsync: false } },
      );
      expect(await query(server.url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
      await server.stop();
    } finally {
      await chmod(lib, 0o755);
    }
    expect(await readdir(scratch.dataDirectory)).toContain(`postgres-binaries-${platformPackage.version}`);
  });

  it.each([
    [{ platform: "linux", arch: "x64", musl: true }, "for musl (Alpine Linux). Set DATABASE_URL"],
    [{ platform: "freebsd", arch: "x64", musl: false }, "for freebsd-x64. Set DATABASE_URL"],
    [{ platform: "linux", arch: "riscv64", musl: false }, "for linux-riscv64. Set DATABASE_URL"],
  ])("are said to be missing for %o", async (machine, sentence) => {
    await expect(findPlatformPackage(machine)).rejects.toThrow(sentence);
  });
});

describe.skipIf(!isRoot)("as root, in a clone below a directory that only root may enter", () => {
  let platformPackage: PlatformPackage;
  const systemDirectory = () => join(scratch.directory, "var-lib");
  const open = () =>
    openEmbeddedPostgres(
      { ...silent, platformPackage },
      {
        dataDirectory: join(scratch.directory, "closed", "data"),
        systemDirectory: systemDirectory(),
        durability: { fsync: false },
      },
    );

  let closed: Scratch;

  beforeAll(async () => {
    closed = await makeScratch();
    await chmod(closed.directory, 0o700);
    platformPackage = await copyWithoutLinks(join(closed.directory, "package"));
  });

  afterAll(() => closed.remove());

  beforeEach(() => mkdir(join(scratch.directory, "closed"), { mode: 0o700 }));

  it("puts data and binaries where Postgres' account can go, and finds them again", async () => {
    const first = await open();
    expect(first.cluster).toMatch(new RegExp(`^${systemDirectory()}/[0-9a-f]{12}/postgres$`));
    expect((await lstat(first.cluster)).uid).not.toBe(0);
    await query(first.url, "CREATE TABLE kept AS SELECT 42 AS value");
    await first.stop();

    const second = await open();
    expect(second.cluster).toBe(first.cluster);
    expect(await query(second.url, "SELECT * FROM kept")).toEqual([{ value: 42 }]);
    await second.stop();

    const [home] = await readdir(systemDirectory());
    const belongsTo = await readFile(join(systemDirectory(), home ?? "", "belongs-to"), "utf8");
    expect(belongsTo).toBe(`${join(scratch.directory, "closed", "data")}\n`);
  });

  it("refuses to begin with an empty database when that place is gone", async () => {
    const server = await open();
    await server.stop();
    await rm(systemDirectory(), { recursive: true });
    await expect(open()).rejects.toThrow("which is gone. Bring it back");
    await expect(access(systemDirectory())).rejects.toThrow("ENOENT");
  });

  it("says what to do when there is no such place either", async () => {
    await writeFile(systemDirectory(), "a file is in the way");
    await expect(open()).rejects.toThrow("Set FACTORY_SECRETS_DATA_DIR to a directory that this user can enter");
  });
});

describe("the log of Postgres", () => {
  it("stays below a limit, with what came before in one older file", async () => {
    await mkdir(scratch.dataDirectory);
    const log = join(scratch.dataDirectory, "postgres.log");
    await writeFile(log, "a line\n".repeat(200_000));
    await boundPostgresLog(scratch.dataDirectory);
    expect((await lstat(log)).size).toBe(0);
    expect((await lstat(`${log}.1`)).size).toBe(1_400_000);
  });
});
