import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BackupHeader, BackupRefused, type BackupTable } from "../../../src/backup/format.js";
import { type Alterable, altered, relationsIn } from "../../support/backup/altered.js";
import { secretValue } from "../../support/leak-watch.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { backUp, restoreInto } from "./backed-up.js";

// Whoever alters a file can also make its SHA-256 anew: here every one fits.

let service: TestService;
let empty: TestDatabase;
let bytes: Buffer;
beforeAll(async () => {
  service = await startOwnTestService();
  const { name } = await service.createFactory();
  await service.as(service.operatorToken).put(`/v1/factories/${name}/secrets/one`).send({ value: secretValue() });
  ({ bytes } = await backUp(service.databaseUrl));
  empty = await createTestDatabase("empty");
});
afterAll(async () => {
  await empty.drop();
  await service.close();
});

function tableIn({ tables }: BackupHeader, name: string): BackupTable {
  const table = tables.find((one) => one.name === name);
  if (!table) throw new Error(`no ${name}`);
  return table;
}

function sequenceIn({ sequences: [one] }: BackupHeader): BackupHeader["sequences"][number] {
  if (!one) throw new Error("no sequence");
  return one;
}

/** Takes tables out, with their rows. */
const without =
  (...names: string[]) =>
  ({ header: { tables }, parts }: Alterable): void => {
    for (let at = tables.length - 1; at >= 0; at -= 1)
      if (names.includes(tables[at]?.name ?? "")) {
        tables.splice(at, 1);
        parts.splice(at, 1);
      }
  };

const more = ({ header: { tables }, parts }: Alterable, table: BackupTable): void => {
  tables.push(table);
  parts.push("");
};

const withoutAudit = (backup: Alterable): void => {
  without(
    "audit_events",
    "audit_seals",
    "audit_checkpoints",
    "audit_logs",
    "audit_keys",
    "approved_destinations",
  )(backup);
  backup.header.sequences = [];
};

/** Leaves the second of the two parts of the events out. */
const withoutWaiting = ({ header: { tables }, parts }: Alterable): void => {
  const at = tables.findLastIndex(({ name }) => name === "audit_events");
  tables.splice(at, 1);
  parts.splice(at, 1);
};

async function refusalOf(file: Buffer): Promise<string> {
  const refused = await restoreInto(empty.url, file).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(BackupRefused);
  expect(await relationsIn(empty.url)).toEqual([]);
  return String(refused).replace("BackupRefused: ", "");
}

const first = "The first line of this backup was altered: ";
const inFirstLine = (why: string): string => `${first}${why}. Nothing was restored.`;
const otherTable = inFirstLine("it names a table that no backup of its migrations has");
const otherSequence = inFirstLine("it names a sequence that no backup of its migrations has");

describe("a restore refuses, in a sentence and with nothing written, a first line", () => {
  it.each<[string, (backup: Alterable) => unknown, string]>([
    ["with another table", ({ header }) => Object.assign(tableIn(header, "secrets"), { name: "secretz" }), otherTable],
    [
      "with a table of Postgres",
      ({ header }) => Object.assign(tableIn(header, "secrets"), { name: "pg_class" }),
      otherTable,
    ],
    [
      "with the record of migrations",
      ({ header }) => Object.assign(tableIn(header, "secrets"), { name: "_prisma_migrations" }),
      otherTable,
    ],
    [
      "with a table that is left out on purpose",
      (backup) => more(backup, { name: "audit_sealer", columns: ["frontier"], rows: 0 }),
      otherTable,
    ],
    [
      "without an empty table",
      without("approved_destinations"),
      inFirstLine("it lacks the table approved_destinations"),
    ],
    [
      "without the tables and sequences of the audit",
      withoutAudit,
      inFirstLine("it lacks the table approved_destinations"),
    ],
    [
      "without the second part of the events",
      withoutWaiting,
      inFirstLine("it names the table audit_events more or less often than a backup does"),
    ],
    [
      "with a table twice",
      (backup) => more(backup, { ...tableIn(backup.header, "secrets"), rows: 0 }),
      inFirstLine("it names the table secrets more or less often than a backup does"),
    ],
  ])("%s", async (_what, alter, sentence) => {
    expect(await refusalOf(altered(bytes, alter))).toBe(sentence);
  });

  const otherColumns = inFirstLine("the columns of secrets are others than its migrations make");
  it.each<[string, (header: BackupHeader) => unknown, string]>([
    ["with another column", (of) => tableIn(of, "secrets").columns.splice(0, 1, "idd"), otherColumns],
    ["with a column twice", (of) => tableIn(of, "secrets").columns.splice(0, 1, "name"), otherColumns],
    ["with a column less", (of) => tableIn(of, "secrets").columns.pop(), otherColumns],
    ["with a column more", (of) => tableIn(of, "secrets").columns.push("xmin"), otherColumns],
    [
      "with columns in another order",
      (of) => tableIn(of, "secrets").columns.reverse(),
      "take the rows of secrets (code 22",
    ],
    ["with tables in another order", ({ tables }) => tables.reverse(), "damaged"],
    ["with the last migrations left out", ({ migrations }) => migrations.splice(-2), first],
    ["with another sequence", (of) => Object.assign(sequenceIn(of), { name: "secrets_id_seq" }), otherSequence],
    ["with a table as a sequence", (of) => Object.assign(sequenceIn(of), { name: "secrets" }), otherSequence],
    ["without its sequences", (of) => of.sequences.splice(0), inFirstLine("it lacks the sequence audit_events_id_seq")],
    [
      "with a sequence twice",
      (of) => of.sequences.push(sequenceIn(of)),
      inFirstLine("it names the sequence audit_events_id_seq more or less often than a backup does"),
    ],
  ])("%s", async (_what, alter, sentence) => {
    const refusal = await refusalOf(altered(bytes, ({ header }) => alter(header)));
    expect(refusal).toContain(sentence);
    expect(refusal).toMatch(/Nothing (of it )?was restored\.$/);
  });
});

describe("a restore refuses a sequence", () => {
  const noRoom = inFirstLine("the number of audit_events_id_seq is none that it has, or leaves too few behind it");
  it.each<[string, { lastValue: string; isCalled?: boolean }, string]>([
    ["above all numbers that there are", { lastValue: "9".repeat(30) }, noRoom],
    ["at its end", { lastValue: "9223372036854775807" }, noRoom],
    ["near its end", { lastValue: "9223372036854775700" }, noRoom],
    ["before its beginning", { lastValue: "0" }, noRoom],
    ["whose next number a row has", { lastValue: "1" }, "behind its rows, its next number in audit_events is taken"],
    [
      "whose first number a row has",
      { lastValue: "1", isCalled: false },
      "behind its rows, its next number in audit_events is taken",
    ],
  ])("%s", async (_what, change, sentence) => {
    const refusal = await refusalOf(altered(bytes, ({ header }) => Object.assign(sequenceIn(header), change)));
    expect(refusal).toContain(sentence);
    expect(refusal).toMatch(/^The first line of this backup was altered: .* Nothing was restored\.$/);
  });
});

it("a restore refuses rows that it cannot bring up to date, in a sentence and with nothing written", async () => {
  const lastGeneration = ({ header, parts }: Alterable): void => {
    const at = header.tables.findIndex(({ name }) => name === "installation");
    const values = (parts[at] ?? "").trimEnd().split("\t");
    values[tableIn(header, "installation").columns.indexOf("generation")] = "9223372036854775807";
    parts[at] = `${values.join("\t")}\n`;
  };
  expect(await refusalOf(altered(bytes, lastGeneration))).toBe(
    "The rows of this backup cannot be brought up to date (code 22003): it was altered, or this release has a defect. Nothing was restored.",
  );
});

it("a restore refuses rows that a trigger refuses, in a sentence and with nothing written", async () => {
  const retiredKey = ({ header, parts }: Alterable): void => {
    const at = header.tables.findIndex(({ name }) => name === "key_encryption_keys");
    parts[at] = (parts[at] ?? "").replaceAll(/\tactive(?=\t|\n)/g, "\tretired");
  };
  expect(await refusalOf(altered(bytes, retiredKey))).toMatch(
    /^This backup was altered: the database does not take the rows of (audit|data)_keys \(code 40001\)\. Nothing was restored\.$/,
  );
});

it("a sequence far ahead of its rows is restored", async () => {
  const database = await createTestDatabase("empty");
  const ahead = ({ header }: Alterable) => Object.assign(sequenceIn(header), { lastValue: "4000000000000000000" });
  expect((await restoreInto(database.url, altered(bytes, ahead))).rows).toBeGreaterThan(5);
  await database.drop();
});

it("a backup that is taken apart and put together again is restored", async () => {
  const database = await createTestDatabase("empty");
  expect(
    (
      await restoreInto(
        database.url,
        altered(bytes, () => undefined),
      )
    ).rows,
  ).toBeGreaterThan(5);
  await database.drop();
});
