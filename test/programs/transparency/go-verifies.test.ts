import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { earlierTransactionsEnded } from "../../support/earlier-transactions.js";
import { startTestService, type TestService } from "../../support/test-service.js";

// The program in verify/ uses golang.org/x/mod/sumdb/note and tlog, unchanged.

const withoutGo = spawnSync("go", ["version"]).status !== 0;
const source = fileURLToPath(new URL("verify/", import.meta.url));
const running = promisify(execFile);

let service: TestService;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "go-verifies-"));
  service = await startTestService();
});
afterAll(async () => {
  await service.close();
  await rm(directory, { recursive: true });
});

// With an empty cache Go downloads the module.
describe(withoutGo ? "Go (skipped: go is not installed)" : "Go's packages for transparency logs", {
  timeout: 300_000,
}, () => {
  it.skipIf(withoutGo)("take our checkpoints, inclusion proofs and exports, and find an altered one", async () => {
    const program = join(directory, "verify");
    await running("go", ["build", "-o", program, "."], { cwd: source });
    const factory = await service.createFactory();
    const ask = async (path: string, query = {}) => {
      await earlierTransactionsEnded(service.database);
      const asked = service.as(service.operatorToken).get(`/v1/factories/${factory.name}/audit${path}`).query(query);
      const { text } = await asked.expect(200);
      return text;
    };
    // Checkpoints of sizes that are powers of two, and that are not.
    for (let events = 0; events < 11; events += 1) {
      await service.createApiToken(factory.name, ["audit:read"]);
      if (events % 3 === 0) await ask("/checkpoint");
    }
    const text = await exportOf(factory.name);
    const items: { id: string; requestId: string }[] = JSON.parse(await ask("")).items;
    await writeFile(join(directory, "export"), text);
    await writeFile(join(directory, "checkpoint"), await ask("/checkpoint"));
    for (const { id, requestId } of items) {
      await writeFile(join(directory, "proof"), await ask("/proof", { event: id }));
      const { stdout } = await running(program, ["export", "checkpoint", "proof"], { cwd: directory });
      expect(JSON.parse(stdout)).toMatchObject({
        events: 12,
        size: 12,
        origin: expect.stringMatching(new RegExp(`/${factory.id}$`)),
        event: { requestId },
      });
      expect(JSON.parse(stdout).checkpoints).toBeGreaterThanOrEqual(5);
    }
    await writeFile(join(directory, "export"), text.replace('"outcome":"allowed"', '"outcome":"refused"'));
    await expect(running(program, ["export", "checkpoint", "proof"], { cwd: directory })).rejects.toThrow(
      "does not fit",
    );
  });
});

async function exportOf(factory: string): Promise<string> {
  await earlierTransactionsEnded(service.database);
  const { body } = await service
    .as(service.operatorToken)
    .get(`/v1/factories/${factory}/audit/export`)
    .buffer(true)
    .parse((res, done) => {
      let text = "";
      res.setEncoding("utf8");
      res.on("data", (chunk) => {
        text += chunk;
      });
      res.on("end", () => done(null, text));
    })
    .expect(200);
  return body;
}
