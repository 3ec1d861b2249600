import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rotateAuditKey } from "../../../../src/cli/server/audit.js";
import { runHere } from "../../../support/cli/run-here.js";
import { earlierTransactionsEnded } from "../../../support/earlier-transactions.js";
import { notesIn, type SealedService, startSealedService } from "../../audit/log/sealed-service.js";

let directory: string;
let sealed: SealedService;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "factory-secrets-audit-"));
  sealed = await startSealedService();
  // A checkpoint behind each.
  for (const name of ["one", "two"]) {
    await sealed.service.createFactory(name);
    await sealed.exported();
  }
});
afterAll(async () => {
  await sealed.service.close();
  await rm(directory, { recursive: true });
});

const audit = (...argv: string[]) =>
  runHere({ DATABASE_URL: sealed.service.databaseUrl, FACTORY_SECRETS_KEY: sealed.service.key }, "audit", ...argv);

const file = (name: string) => join(directory, name);

describe("audit export and verify", () => {
  test("go together offline, with the public key alone", async () => {
    const { code: exported, out: nothing, err: said } = await audit("export", "--out", file("whole.ndjson"));
    expect({ exported, nothing }).toEqual({ exported: 0, nothing: "" });
    const events = (await readFile(file("whole.ndjson"), "utf8")).match(/^\{"type":"event"/gm)?.length;
    expect(said).toBe(`Wrote ${file("whole.ndjson")}: ${events} events of 3 logs.\n`);
    expect((await stat(file("whole.ndjson"))).mode & 0o777).toBe(0o600);
    await writeFile(file("audit.pem"), (await audit("keys")).out);
    const { code, out } = await runHere(
      { DATABASE_URL: "not a database" },
      "audit",
      "verify",
      "--file",
      file("whole.ndjson"),
      "--public-key",
      file("audit.pem"),
    );
    expect(code).toBe(0);
    expect(out).toMatch(
      /^Log: {7}installation [0-9a-f-]{36}: \d+ events, index 0 to \d+, 20\S+ to 20\S+, \d checkpoints? fit/,
    );
    expect(out.match(/^Log: {7}factory [0-9a-f-]{36}: 1 event, /gm)).toHaveLength(2);
    expect(out).toContain("OK: no event was altered, removed, inserted, re-ordered or truncated.\n");
  });

  test("say so when the key was not given", async () => {
    const { out } = await audit("verify", "--file", file("whole.ndjson"));
    expect(out).toContain("no --public-key was given");
  });

  test("name the first break, and what a checkpoint covers before it, with exit code 1", async () => {
    const lines = (await readFile(file("whole.ndjson"), "utf8")).split("\n");
    const last = lines.findLastIndex((line) => line.includes('"index":0,'));
    await writeFile(file("broken.ndjson"), lines.toSpliced(last, 1).join("\n"));
    const { code, err } = await audit("verify", "--file", file("broken.ndjson"));
    expect(code).toBe(1);
    expect(err).toBe(
      `BROKEN at line ${last + 1}: removal: the event with index 0 is missing.\nNo checkpoint covers an event before it.\n`,
    );
  });

  test("compare with checkpoints that were kept elsewhere: a signed note, or lines that were shipped", async () => {
    const lines = (await readFile(file("whole.ndjson"), "utf8")).split("\n");
    await writeFile(file("kept.note"), notesIn(lines)[0] ?? "");
    await writeFile(file("kept.ndjson"), lines.join("\n"));
    const given = ["--file", file("whole.ndjson"), "--checkpoint"];
    const one = await audit("verify", ...given, file("kept.note"));
    expect(one).toMatchObject({ code: 0, out: expect.stringContaining("Compared:  1 of your checkpoints fits\n") });
    const more = await audit("verify", ...given, file("kept.note"), file("kept.ndjson"));
    expect(more.out).toContain(`${notesIn(lines).length + 1} of your checkpoints fit`);
  });

  test("find a log that was truncated since a checkpoint of it was kept", async () => {
    await sealed.service.createFactory("three");
    const until = await sealed.checkpoint(sealed.installation);
    await audit("export", "--out", file("until.ndjson"));
    const { id } = await sealed.service.createFactory("four");
    await sealed.service.createApiToken("three", ["audit:read"]);
    await writeFile(file("later.ndjson"), (await sealed.exported()).join("\n"));
    await writeFile(file("until.note"), until);
    const truncated = await audit("verify", "--file", file("until.ndjson"), "--checkpoint", file("later.ndjson"));
    expect(truncated).toMatchObject({
      code: 1,
      err: expect.stringContaining("truncation: a checkpoint that you kept"),
    });
    await writeFile(file("four.note"), await sealed.checkpoint(id));
    const missing = await audit(
      "verify",
      "--file",
      file("until.ndjson"),
      "--checkpoint",
      file("until.note"),
      file("four.note"),
    );
    expect(missing).toMatchObject({
      code: 0,
      out: expect.stringContaining("1 is about a log that is not in this export"),
    });
  });

  test.each([
    ["an empty file", () => "", "the files contain no checkpoint"],
    ["events alone", (line: string) => line.startsWith('{"type":"event"'), "the files contain no checkpoint"],
    [
      "the checkpoint of another log",
      (line: string) => line.startsWith('{"type":"checkpoint"'),
      "1 is about a log that is not",
    ],
  ])("do not call %s compared", async (_what, isKept, said) => {
    await audit("export", "--factory", "two", "--out", file("two.ndjson"));
    await audit("export", "--factory", "one", "--out", file("only-one.ndjson"));
    const lines = (await readFile(file("two.ndjson"), "utf8")).split("\n").filter(isKept);
    await writeFile(file("not-kept"), lines.join("\n"));
    const given = ["--file", file("only-one.ndjson"), "--checkpoint", file("not-kept")];
    const { code, out, err } = await audit("verify", ...given);
    expect({ code, out, err }).toMatchObject({ code: 2, out: "", err: expect.stringContaining(said) });
    expect(err).toContain("Your checkpoints (--checkpoint) could not be compared");
    await rm(file("two.ndjson"));
    await rm(file("only-one.ndjson"));
  });

  test.each([
    ["a file that is not there", ["--file", "/nonexistent/file"]],
    ["a folder", ["--file", "docs"]],
    ["a key that is none", ["--public-key", "package.json"]],
    ["a checkpoint that is none", ["--checkpoint", "package.json"]],
  ])("answer %s with exit code 2", async (_what, given) => {
    expect(await audit("verify", ...given)).toMatchObject({ code: 2, out: "" });
  });

  test("tell a file that is not an export from one that was altered", async () => {
    expect(await audit("verify", "--file", "README.md")).toEqual({
      code: 2,
      out: "",
      err: "README.md is not an export of the audit in NDJSON. To make one: factory-secrets audit export --out audit.ndjson\n",
    });
    await audit("export", "--format", "cef", "--out", file("whole.cef"));
    expect(await audit("verify", "--file", file("whole.cef"))).toMatchObject({ code: 2 });
    const whole = await readFile(file("whole.ndjson"), "utf8");
    for (const [index, altered] of ["", whole.slice(0, 5), whole.replace("log", "lok")].entries()) {
      await writeFile(file(`altered-${index}`), altered);
      const { code, err } = await audit("verify", "--file", file(`altered-${index}`));
      expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^BROKEN /) });
    }
  });

  test("give one factory its own log", async () => {
    await audit("export", "--factory", "one", "--out", file("one.ndjson"));
    const { code, out } = await audit("verify", "--file", file("one.ndjson"));
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/^Log: {7}factory \S+: 1 event, /) });
    expect(await readFile(file("one.ndjson"), "utf8")).not.toContain('"name":"two"');
  });

  test("overwrite nothing", async () => {
    const before = await readFile(file("whole.ndjson"));
    expect(await audit("export", "--out", file("whole.ndjson"))).toMatchObject({
      code: 1,
      err: `${file("whole.ndjson")} exists. It was not overwritten; name another file.\n`,
    });
    expect(await readFile(file("whole.ndjson"))).toEqual(before);
    expect(await audit("export", "--out", file("no/folder"))).toMatchObject({
      code: 1,
      err: `${file("no/folder")} cannot be written (there is no such file or folder).\n`,
    });
  });
});

describe("audit verify on the database", () => {
  test("holds", async () => {
    expect(await audit("verify")).toMatchObject({ code: 0, err: "" });
  });

  test("finds an event that was altered", async () => {
    const change = (from: string, to: string) =>
      sealed.tamper(
        "UPDATE audit_events SET event = convert_to(replace(convert_from(event, 'UTF8'), $1, $2), 'UTF8')",
        [from, to],
      );
    await change('"name":"two"', '"name":"owt"');
    expect(await audit("verify")).toMatchObject({ code: 1, err: expect.stringContaining("alteration: ") });
    await change('"name":"owt"', '"name":"two"');
  });

  test("says how many events are newer than the last checkpoints", async () => {
    await sealed.exported();
    const blocker = await sealed.service.database.pool.connect();
    await blocker.query("BEGIN; SELECT FROM audit_sealer FOR UPDATE");
    await sealed.service.createFactory("five");
    expect((await audit("verify")).out).toMatch(
      /^Newer: {5}\d+ events are sealed and not signed yet, [1-9] are not sealed yet$/m,
    );
    await blocker.query("ROLLBACK");
    blocker.release();
  });
});

describe("audit rotate-key", () => {
  test("makes a new key sign at once; what the old one signed is verified still", async () => {
    const before = (await audit("keys")).out;
    const { code, out: added, err } = await audit("rotate-key");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect((await audit("keys")).out).toBe(before + added);
    await earlierTransactionsEnded(sealed.service.database);
    await audit("export", "--out", file("rotated.ndjson"));
    await writeFile(file("old.pem"), before);
    await writeFile(file("both.pem"), before + added);
    const verify = (keys: string) => audit("verify", "--file", file("rotated.ndjson"), "--public-key", file(keys));
    expect(await verify("both.pem")).toMatchObject({ code: 0, err: "" });
    expect(await verify("old.pem")).toMatchObject({ code: 1 });
    const { body } = await sealed.service
      .as(sealed.service.operatorToken)
      .get("/v1/audit?action=signing-key.replaced")
      .expect(200);
    expect(body.items).toMatchObject([{ purpose: "audit-checkpoint", alg: "Ed25519" }]);
    // The server that runs beside signs with the new key too.
    await sealed.service.createFactory();
    await sealed.exported();
    expect(await audit("verify")).toMatchObject({ code: 0 });
  });
});

describe("two audit rotate-key at once", () => {
  const keyCount = async () => (await audit("keys")).out.match(/BEGIN PUBLIC KEY/g)?.length ?? 0;
  const rotate = (askedAtMs: number) => {
    const environment = { DATABASE_URL: sealed.service.databaseUrl, FACTORY_SECRETS_KEY: sealed.service.key };
    return rotateAuditKey({ environment, say: () => undefined }, askedAtMs);
  };

  test("make one new key, and both print it", async () => {
    const before = await keyCount();
    const since = performance.now();
    const [first, second] = await Promise.all([rotate(since), rotate(since)]);
    expect(second).toBe(first);
    // The third one was started with them and came late to its work.
    expect(await rotate(since)).toBe(first);
    expect(await keyCount()).toBe(before + 1);
  });
});

describe("audit prune", () => {
  test("refuses an invalid time and one in the future", async () => {
    for (const time of ["yesterday", "2100-01-01T00:00:00Z"]) {
      expect(await audit("prune", "--before", time)).toMatchObject({ code: 2 });
    }
  });

  test("removes what is older, and the rest still verifies", async () => {
    await sealed.exported();
    const { code, out } = await audit("prune", "--before", new Date().toISOString());
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/^Removed \d+ events\. /) });
    await audit("export", "--out", file("rest.ndjson"));
    const old = await audit("verify", "--file", file("rest.ndjson"), "--checkpoint", file("kept.note"));
    expect(old).toMatchObject({
      code: 2,
      err: expect.stringContaining("1 is about events that were dropped by a prune"),
    });
    const { out: report } = await audit("verify", "--file", file("rest.ndjson"));
    expect(report).toMatch(/events before index \d+ were dropped by a prune/);
    expect(await audit("verify")).toMatchObject({ code: 0 });
  });
});
