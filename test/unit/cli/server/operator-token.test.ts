import { mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { run } from "../../../../src/cli/factory-secrets.js";

let directory: string;
beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "factory-secrets-cli-")));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(directory, { recursive: true });
});

test("operator-token makes no database where the server has none", async () => {
  const data = join(directory, "data");
  vi.stubEnv("DATABASE_URL", "");
  vi.stubEnv("FACTORY_SECRETS_DATA_DIR", data);
  const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(await run(["operator-token"])).toBe(1);
  expect(written).toHaveBeenCalledExactlyOnceWith(
    `There is no data at ${data}. Run the command in the clone, or set FACTORY_SECRETS_DATA_DIR as for the server.\n`,
  );
  expect(await readdir(directory)).toEqual([]);
});
