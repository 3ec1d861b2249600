import { hash, randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { altered } from "../../../support/backup/altered.js";
import { runHere } from "../../../support/cli/run-here.js";
import { runCommand } from "../../../support/command-process.js";
import { recordText, secretValue, watched } from "../../../support/leak-watch.js";
import { createTestDatabase, type TestDatabase } from "../../../support/test-database.js";
import { startOwnTestService, type TestService } from "../../../support/test-service.js";
import { endServerProcesses, startServerProcess } from "../../crash/server-process.js";

let directory: string;
let service: TestService;
let empty: TestDatabase;
let settings: { DATABASE_URL: string; FACTORY_SECRETS_KEY: string };
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "factory-secrets-backup-"));
  service = await startOwnTestService();
  const { name } = await service.createFactory();
  await service.as(service.operatorToken).put(`/v1/factories/${name}/secrets/one`).send({ value: secretValue() });
  settings = { DATABASE_URL: service.databaseUrl, FACTORY_SECRETS_KEY: service.key };
  empty = await createTestDatabase("empty");
});
afterEach(endServerProcesses);
afterAll(async () => {
  await empty.drop();
  await service.close();
  await rm(directory, { recursive: true });
});

const file = (name: string) => join(directory, name);
const keyed = () => ({ FACTORY_SECRETS_KEY: service.key });
const intoEmpty = () => ({ ...keyed(), DATABASE_URL: empty.url });
const sumIn = (err: string) => /^SHA-256: ([0-9a-f]{64})$/m.exec(err)?.[1] ?? "";

describe("backup --out", () => {
  it("writes a new file for its owner alone, says what is in it, and leaves an event with its sum", async () => {
    const { code, out, err } = await runHere(settings, "backup", "--out", file("a"));
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(err).toMatch(/^Wrote \S+ \d+ rows of \d+ tables, [\d,]+ bytes, as of \S+\n/);
    expect(err).toContain("It opens only with the key-encryption key kek-");
    expect((await stat(file("a"))).mode & 0o777).toBe(0o600);
    const bytes = await readFile(file("a"));
    expect(hash("sha256", bytes)).toBe(sumIn(err));
    // The whole file is searched: a backup holds no value as it is.
    recordText(bytes.toString("latin1"));
    const { body } = await service.as(service.operatorToken).get("/v1/audit?action=backup.made");
    expect(body.items).toMatchObject([{ sha256: sumIn(err), actor: { kind: "service" } }]);
  });

  it("overwrites nothing", async () => {
    await writeFile(file("mine"), "mine");
    const { code, err } = await runHere(settings, "backup", "--out", file("mine"));
    expect({ code, err }).toEqual({
      code: 1,
      err: `${file("mine")} exists. It was not overwritten; name another file with --out.\n`,
    });
    expect(await readFile(file("mine"), "utf8")).toBe("mine");
  });

  it("leaves nothing where it cannot write", async () => {
    const { code, err } = await runHere(settings, "backup", "--out", join(directory, "none", "a"));
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringContaining("cannot be written (there is no such file or folder)"),
    });
    expect((await readdir(directory)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("with - writes to standard output, and speaks on standard error", async () => {
    const { code, out, err } = await runCommand(settings, "backup", "--out", "-");
    expect(code).toBe(0);
    expect(hash("sha256", out)).toBe(sumIn(err));
    await writeFile(file("piped"), out);
    expect(await runHere(keyed(), "restore", "--in", file("piped"), "--check")).toMatchObject({ code: 0 });
  });

  it("says so where no service was ever started, and makes nothing there", async () => {
    const nothing = "There is nothing to back up: no service was ever started here.\n";
    const { url } = empty;
    expect(await runHere({ DATABASE_URL: url }, "backup", "--out", file("b"))).toMatchObject({
      code: 1,
      err: nothing,
    });
    const elsewhere = { FACTORY_SECRETS_DATA_DIR: file("elsewhere") };
    const { code, err } = await runHere(elsewhere, "backup", "--out", file("b"));
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("There is no data at") });
    expect(await readdir(directory)).not.toContain("elsewhere");
  });
});

describe("restore --in", () => {
  it("--check reads the file alone, without a database", async () => {
    const { code, err } = await runHere(keyed(), "restore", "--in", file("a"), "--check");
    expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining("is whole and genuine") });
    await writeFile(file("short"), (await readFile(file("a"))).subarray(0, -1));
    expect(await runHere(keyed(), "restore", "--in", file("short"), "--check")).toMatchObject({
      code: 1,
      err: "This backup was cut short or altered. Nothing was restored.\n",
    });
  });

  it("names the key-encryption key that is missing, with --check and without", async () => {
    const other = { DATABASE_URL: empty.url, FACTORY_SECRETS_KEY: watched(randomBytes(32).toString("base64")) };
    for (const more of [["--check"], []])
      expect(await runHere(other, "restore", "--in", file("a"), ...more)).toMatchObject({
        code: 1,
        err: expect.stringMatching(
          /^A backup of this installation needs the key-encryption key kek-\w+, and it was not given\./,
        ),
      });
  });

  it("takes the file whose sum was given", async () => {
    const sum = hash("sha256", await readFile(file("a"))).toUpperCase();
    expect(await runHere(keyed(), "restore", "--in", file("a"), "--check", "--sha256", sum)).toMatchObject({ code: 0 });
  });

  it("refuses another file than the one whose sum was given, and a file that is not there", async () => {
    const other = ["--sha256", "0".repeat(64)];
    const { code, err } = await runHere(intoEmpty(), "restore", "--in", file("a"), ...other);
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("is another backup") });
    expect(await runHere(keyed(), "restore", "--in", file("none"))).toMatchObject({
      code: 2,
      err: `${file("none")} cannot be read (there is no such file or folder).\n`,
    });
    expect(await runHere(keyed(), "restore", "--in", file("a"), "--sha256", "abc")).toMatchObject({ code: 2 });
  });

  it("prints nothing of a first line that leads the terminal, with --check and without", async () => {
    const leading = altered(await readFile(file("a")), service.key, ({ header }) => header.keys.push("\u001b[2Jkek"));
    await writeFile(file("leading"), leading);
    for (const more of [["--check"], []])
      expect(await runHere(intoEmpty(), "restore", "--in", file("leading"), ...more)).toEqual({
        code: 1,
        out: "",
        err: "This backup was cut short or altered. Nothing was restored.\n",
      });
  });

  it("refuses a database that is in use", async () => {
    const { code, err } = await runHere(settings, "restore", "--in", file("a"));
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("The database is not empty") });
  });

  it("fills an empty one, and says what is live again", async () => {
    const { code, err } = await runHere(intoEmpty(), "restore", "--in", file("a"));
    expect(code).toBe(0);
    expect(err).toContain("Live again: 1 operator tokens, 0 API tokens, 0 OAuth clients.");
    expect(err).toMatch(/What was withdrawn after \S+Z is valid again\./);
  });
});

it("an embedded installation goes from one data directory to another, while it runs", async () => {
  const [from, to] = [file("from"), file("to")];
  const first = startServerProcess({ FACTORY_SECRETS_DATA_DIR: from });
  const url = await first.listening();
  const [, token = ""] = /FACTORY_SECRETS_TOKEN=(fso_\S+)/.exec(first.said()) ?? [];
  const headers = { "OSF-TOKEN": token, "Content-Type": "application/json" };
  await fetch(`${url}/v1/factories`, { method: "POST", headers, body: JSON.stringify({ name: "acme" }) });
  const put = { method: "PUT", headers, body: JSON.stringify({ value: secretValue() }) };
  expect((await fetch(`${url}/v1/factories/acme/secrets/one`, put)).status).toBe(201);
  const backup = await runCommand({ FACTORY_SECRETS_DATA_DIR: from }, "backup", "--out", file("embedded"));
  expect(backup).toMatchObject({ code: 0 });

  const keyless = await runCommand({ FACTORY_SECRETS_DATA_DIR: to }, "restore", "--in", file("embedded"));
  expect(keyless).toMatchObject({ code: 1, err: expect.stringContaining("put the file key-encryption-key") });
  await mkdir(to, { recursive: true });
  await copyFile(join(from, "key-encryption-key"), join(to, "key-encryption-key"));
  const restored = await runCommand({ FACTORY_SECRETS_DATA_DIR: to }, "restore", "--in", file("embedded"));
  expect(restored).toMatchObject({ code: 0 });
  const second = startServerProcess({ FACTORY_SECRETS_DATA_DIR: to });
  const list = await fetch(`${await second.listening()}/v1/factories/acme/secrets`, { headers });
  expect(await list.json()).toMatchObject({ items: [{ name: "one", version: 1 }] });
});

it("an embedded installation with a key of its settings is told of that one, and is restored with it", async () => {
  const [from, to, key] = [file("keyed-from"), file("keyed-to"), file("key-2")];
  await writeFile(key, `${watched(randomBytes(32).toString("base64"))}\n`, { mode: 0o600 });
  const keys = { FACTORY_SECRETS_KEYS: `file:${key}` };
  const first = startServerProcess({ FACTORY_SECRETS_DATA_DIR: from, ...keys });
  await first.listening();
  expect(first.said()).toContain(`Keep a copy of ${key}: nothing opens without it.`);
  expect(first.said()).not.toContain("key-encryption-key");
  const backup = await runCommand({ FACTORY_SECRETS_DATA_DIR: from, ...keys }, "backup", "--out", file("keyed"));
  expect(backup).toMatchObject({ code: 0 });
  const restored = await runCommand({ FACTORY_SECRETS_DATA_DIR: to, ...keys }, "restore", "--in", file("keyed"));
  expect(restored).toMatchObject({ code: 0 });
  await startServerProcess({ FACTORY_SECRETS_DATA_DIR: to, ...keys }).listening();
});
