import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BackupHeader, BackupRefused } from "../../../src/backup/format.js";
import { verifyBackup } from "../../../src/backup/restore/restore-backup.js";
import { readMigrations } from "../../../src/db/migrate.js";
import { migrationsDirectory } from "../../../src/db/open-service-database.js";
import { altered } from "../../support/backup/altered.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { backUp, inChunks } from "./backed-up.js";

let service: TestService;
let bytes: Buffer;
beforeAll(async () => {
  service = await startOwnTestService();
  ({ bytes } = await backUp(service.databaseUrl));
});
afterAll(() => service.close());

/** What the check of a file says that needs no database, and comes before every restore. */
async function checked(alter: (header: BackupHeader) => unknown): Promise<unknown> {
  const file = altered(bytes, ({ header }) => alter(header));
  return verifyBackup(() => inChunks(file), await readMigrations(migrationsDirectory)).catch((error: unknown) => error);
}

const notABeginning =
  "The first line of this backup was altered: its migrations are no beginning of those that this release knows. Nothing was restored.";

describe("the check of a backup refuses", () => {
  it.each<[string, (header: BackupHeader) => unknown]>([
    ["a migration left out in the middle", ({ migrations }) => migrations.splice(5, 1)],
    ["the first migration left out", ({ migrations }) => migrations.shift()],
    ["a migration twice", ({ migrations }) => migrations.push(...migrations.slice(-1))],
    ["migrations in another order", ({ migrations }) => migrations.reverse()],
  ])("%s", async (_what, alter) => {
    const refused = await checked(alter);
    expect(refused).toBeInstanceOf(BackupRefused);
    expect(refused).toMatchObject({ message: notABeginning });
  });

  const controls = ["\u001b[2J", "one\u0007", "a\nb", "\u009b31m", "\u202egpj"];
  const put = (text: string): [string, (header: BackupHeader) => unknown][] => [
    ["keys", ({ keys }) => keys.push(text)],
    ["migrations", ({ migrations: [one] }) => Object.assign(one ?? {}, { name: text })],
    ["postgres", (header) => Object.assign(header, { postgres: text })],
    ["tables", ({ tables: [one] }) => Object.assign(one ?? {}, { name: text })],
    ["columns", ({ tables: [one] }) => one?.columns.push(text)],
    ["sequences", ({ sequences: [one] }) => Object.assign(one ?? {}, { name: text })],
  ];
  it.each(put("\u001b[2J").map(([member]) => member))("a text in `%s` that leads a terminal", async (member) => {
    for (const text of controls) {
      const [, alter] = put(text).find(([name]) => name === member) ?? [];
      const refused = await checked(alter ?? (() => undefined));
      expect(refused).toMatchObject({ message: "The first line of this backup was altered. Nothing was restored." });
    }
  });
});

it("the check of a backup takes the migrations of an older release", async () => {
  const { length } = await readMigrations(migrationsDirectory);
  for (let count = 1; count <= length; count += 1)
    expect(await checked((header) => header.migrations.splice(count))).toMatchObject({ sha256: expect.any(String) });
});
