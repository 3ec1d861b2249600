import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rotateAuditKey } from "../../../src/cli/audit/audit-work.js";
import { runHere } from "../../support/cli/run-here.js";
import { earlierTransactionsEnded } from "../../support/earlier-transactions.js";
import { type SealedService, signedOf, startSealedService } from "../audit/chain/sealed-service.js";

let directory: string;
let sealed: SealedService;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "factory-secrets-audit-"));
  sealed = await startSealedService();
  // A checkpoint behind each: the first one vouches for what comes before the last event.
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
    expect(said).toBe(`Wrote ${file("whole.ndjson")}: ${events} events, positions 1 to ${events}.\n`);
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
    expect(out).toMatch(/^Events: {6}\d+ of the installation [0-9a-f-]{36}\nPositions: {3}1 to \d+\nTime:/);
    expect(out).toContain("Nothing was altered, removed, inserted, re-ordered or cut off.\n");
  });

  test("say so when the key was not given", async () => {
    const { out } = await audit("verify", "--file", file("whole.ndjson"));
    expect(out).toContain("not given with --public-key");
  });

  test("name the first break, and how far a checkpoint vouches, with exit code 1", async () => {
    const lines = (await readFile(file("whole.ndjson"), "utf8")).split("\n");
    const last = lines.findLastIndex((line) => line.startsWith('{"type":"event"'));
    const { position } = JSON.parse(lines[last] ?? "");
    const vouching = signedOf(lines.slice(0, last).findLast((line) => line.startsWith('{"type":"checkpoint"')));
    await writeFile(file("broken.ndjson"), lines.toSpliced(last, 1).join("\n"));
    const { code, err } = await audit("verify", "--file", file("broken.ndjson"));
    expect(code).toBe(1);
    expect(err).toBe(
      `BROKEN at line ${last + 1}: the event at position ${position} is missing.\n` +
        `A signed checkpoint vouches for everything up to position ${JSON.parse(vouching.text).position}.\n`,
    );
  });

  test("compare with a checkpoint that was kept elsewhere", async () => {
    const lines = (await readFile(file("whole.ndjson"), "utf8")).split("\n");
    await writeFile(file("held"), `${lines.find((line) => line.startsWith('{"type":"checkpoint"'))}\n`);
    const { code, out } = await audit("verify", "--file", file("whole.ndjson"), "--checkpoint", file("held"));
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining("1 of your own, each fits") });
  });

  test.each([
    ["an empty file", () => "", "there is no checkpoint in it"],
    ["events alone", (line: string) => line.startsWith('{"type":"event"'), "there is no checkpoint in it"],
    ["the checkpoint of another chain", (line: string) => line.startsWith('{"type":"end"'), "1 is about another chain"],
  ])("do not call %s compared", async (_what, isHeld, said) => {
    await audit("export", "--factory", "two", "--out", file("two.ndjson"));
    const lines = (await readFile(file("two.ndjson"), "utf8")).split("\n").filter(isHeld);
    await writeFile(file("not-held"), lines.join("\n"));
    const given = ["--file", file("whole.ndjson"), "--checkpoint", file("not-held")];
    const { code, out, err } = await audit("verify", ...given);
    expect({ code, out, err }).toMatchObject({ code: 2, out: "", err: expect.stringContaining(said) });
    expect(err).toContain("nothing that you hold was compared");
    const mixed = await audit("verify", ...given, file("held"));
    expect(mixed).toMatchObject({ code: 0, out: expect.stringContaining("1 of your own, each fits") });
    expect(mixed.out.includes("1 is about another chain")).toBe(said.startsWith("1"));
    await rm(file("two.ndjson"));
  });

  test.each([
    ["a file that is not there", ["--file", "/nonexistent/file"]],
    ["a folder", ["--file", "docs"]],
    ["a key that is none", ["--public-key", "package.json"]],
    ["a checkpoint that is none", ["--checkpoint", "package.json"]],
  ])("answer %s with exit code 2", async (_what, given) => {
    expect(await audit("verify", ...given)).toMatchObject({ code: 2, out: "" });
  });

  test("tell a file that is no export at all from one that was altered", async () => {
    expect(await audit("verify", "--file", "README.md")).toEqual({
      code: 2,
      out: "",
      err: "README.md: this is no export of an audit in NDJSON.\n",
    });
    await audit("export", "--format", "cef", "--out", file("whole.cef"));
    expect(await audit("verify", "--file", file("whole.cef"))).toMatchObject({ code: 2 });
    const whole = await readFile(file("whole.ndjson"), "utf8");
    for (const [index, altered] of ["", whole.slice(0, 5), whole.replace("key", "kex")].entries()) {
      await writeFile(file(`altered-${index}`), altered);
      const { code, err } = await audit("verify", "--file", file(`altered-${index}`));
      expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^BROKEN /) });
    }
  });

  test("give one factory its own chain", async () => {
    await audit("export", "--factory", "one", "--out", file("one.ndjson"));
    const { code, out } = await audit("verify", "--file", file("one.ndjson"));
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining("1 of the factory") });
    expect(await readFile(file("one.ndjson"), "utf8")).not.toContain('"name":"two"');
  });

  test("overwrite nothing", async () => {
    const before = await readFile(file("whole.ndjson"));
    expect(await audit("export", "--out", file("whole.ndjson"))).toMatchObject({
      code: 1,
      err: `${file("whole.ndjson")} exists. Nothing is overwritten.\n`,
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

  test.each([
    ["3", "all of its time were sealed"],
    ["9000000000000", "has not begun here"],
  ])("finds an event that was put beside the chain with the transaction %s", async (transaction, said) => {
    await sealed.service.database.pool.query(
      `INSERT INTO audit_events (at, action, outcome, actor_kind, actor_id, writer, sequence, transaction, event)
       SELECT at, action, outcome, actor_kind, actor_id, gen_random_uuid(), 1, $1::text::xid8, event FROM audit_events
       WHERE factory_id IS NULL AND action = 'operator-token.created' LIMIT 1`,
      [transaction],
    );
    await sealed.exported();
    const { code, err } = await audit("verify");
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("stands in no chain") });
    expect(err).toContain(said);
    await sealed.tamper("DELETE FROM audit_events WHERE transaction = $1::text::xid8", [transaction]);
  });

  test("finds an event that was hidden from searches", async () => {
    await sealed.tamper("UPDATE audit_events SET action = 'factory.deleted' WHERE action = 'factory.created'");
    expect(await audit("verify")).toMatchObject({ code: 1, err: expect.stringContaining("a search would miss it") });
    await sealed.tamper("UPDATE audit_events SET action = 'factory.created' WHERE action = 'factory.deleted'");
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
    expect((await sealed.exported()).at(-1)).toContain('"type":');
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
  test("refuses a time that is none, or to come", async () => {
    for (const time of ["yesterday", "2100-01-01T00:00:00Z"]) {
      expect(await audit("prune", "--before", time)).toMatchObject({ code: 2 });
    }
  });

  test("removes what is older, and the rest still verifies", async () => {
    const { code, out } = await audit("prune", "--before", new Date().toISOString());
    expect({ code, out }).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Removed \d+ events, up to position \d+\./),
    });
    await audit("export", "--out", file("rest.ndjson"));
    const old = await audit("verify", "--file", file("rest.ndjson"), "--checkpoint", file("held"));
    expect(old).toMatchObject({ code: 2, err: expect.stringContaining("1 is about what was cut off") });
    const { out: report } = await audit("verify", "--file", file("rest.ndjson"));
    expect(report).toMatch(/Cut: {9}up to position \d+, older than /);
    expect(await audit("verify")).toMatchObject({ code: 0 });
  });
});
