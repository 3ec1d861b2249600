import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { secretValue, watched } from "../../../support/leak-watch.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { type OperatorDesk, openOperatorDesk } from "./operator-desk.js";

let service: TestService;
let desk: OperatorDesk;
let factory: string;
beforeAll(async () => {
  service = await startTestService();
  factory = (await service.createFactory()).name;
  desk = openOperatorDesk({
    FACTORY_SECRETS_URL: service.url,
    FACTORY_SECRETS_FACTORY: factory,
    FACTORY_SECRETS_TOKEN: service.operatorToken,
  });
});
afterAll(async () => {
  desk?.close();
  await service?.close();
});

const secrets = (args: readonly string[], input?: string | Buffer) => desk.run(["secrets", ...args], input);

async function isStored(name: string, value: string | Buffer): Promise<boolean> {
  const path = `/v1/factories/${factory}/secrets/${name}:verify`;
  const reply = await service
    .as(service.operatorToken)
    .post(path)
    .send({ valueBase64: Buffer.from(value).toString("base64") });
  return reply.body.matches;
}

describe("secrets set", () => {
  test("takes the value from a file, byte for byte", async () => {
    const value = Buffer.from([0, 255, 10, 13, 10]);
    const path = join(desk.directory, "value.bin");
    writeFileSync(path, value);
    expect(await secrets(["set", "from_file", "--from-file", path])).toEqual({
      exitCode: 0,
      out: "Created from_file, version 1.\n",
      err: "",
    });
    expect(await isStored("from_file", value)).toBe(true);
  });

  test("takes it from standard input, and says so when it ends with a line end", async () => {
    const value = secretValue();
    expect(await secrets(["set", "piped"], value)).toMatchObject({ exitCode: 0, err: "" });
    expect(await isStored("piped", value)).toBe(true);
    const echoed = await secrets(["set", "piped", "--from-file", "-"], `${value}\n`);
    expect(echoed).toMatchObject({ exitCode: 0, out: "Stored piped, version 2.\n" });
    const noted = await secrets(["set", "piped"], `${value}\n`);
    expect(noted.err).toContain("the value ends with a line end");
    expect(await isStored("piped", `${value}\n`)).toBe(true);
  });

  test("asks for it twice at a terminal, without echo", async () => {
    const value = secretValue();
    const done = await desk.runWith([value, value], ["secrets", "set", "typed"]);
    expect(done).toMatchObject({ exitCode: 0, asked: ["Value of typed (not shown): ", "Once more: "] });
    expect(await isStored("typed", value)).toBe(true);
    const slipped = await desk.runWith([value, `${value}x`], ["secrets", "set", "typed"]);
    expect(slipped).toMatchObject({ exitCode: 2, err: "The two values differ. Nothing was stored.\n" });
  });

  test("takes it from an argument only with a warning", async () => {
    const value = secretValue();
    const done = await secrets(["set", "argued", value]);
    expect(done).toMatchObject({ exitCode: 0, err: expect.stringContaining("Warning: a value on the command line") });
    expect(await isStored("argued", value)).toBe(true);
    const both = await secrets(["set", "argued", value, "--from-file", "-"], value);
    expect(both).toMatchObject({ exitCode: 2, err: expect.stringContaining("Keep one.") });
  });

  test("refuses an empty value, and a file that is not there", async () => {
    expect(await secrets(["set", "empty"], "")).toMatchObject({
      exitCode: 2,
      err: "The value is empty. Nothing was sent.\n",
    });
    expect(await secrets(["set", "empty", "--from-file", "/no/such/file"])).toMatchObject({
      exitCode: 2,
      err: "There is no file /no/such/file.\n",
    });
    expect(await secrets(["set", "empty", "--from-file", "/"])).toMatchObject({
      exitCode: 2,
      err: "/ is a folder. Name a file.\n",
    });
  });

  test("a value that its entries cannot use is refused, with what to do on this command line", async () => {
    const { name } = await service.createFactory();
    const here = (args: readonly string[], input?: string) => desk.run(["--factory", name, ...args], input);
    await here(["secrets", "set", "creds"], secretValue());
    await here(["registries", "add", "--type", "aws", "--region", "us-east-2", "--secret", "creds"]);
    const path = "/home/jane/.aws/credentials";
    const refused = await here(["secrets", "set", "creds", path]);
    expect(refused).toMatchObject({ exitCode: 5, err: expect.stringContaining("--from-file FILE.") });
    expect(refused.err).toContain("--allow-unusable.");
    expect(await here(["secrets", "set", "creds", path, "--allow-unusable"])).toMatchObject({ exitCode: 0 });
  });

  test("stores only over the version that is meant", async () => {
    await secrets(["set", "guarded", "--create"], secretValue());
    const twice = await secrets(["set", "guarded", "--create"], secretValue());
    expect(twice).toMatchObject({ exitCode: 5, err: expect.stringContaining("(precondition-failed, request ") });
    expect(await secrets(["set", "guarded", "--if-version", "1"], secretValue())).toMatchObject({ exitCode: 0 });
    expect(await secrets(["set", "guarded", "--if-version", "1"], secretValue())).toMatchObject({ exitCode: 5 });
  });

  test("shows the warnings of the service, and what is not valid line by line", async () => {
    const warned = await secrets(["set", "quoted"], `"${secretValue()}"`);
    expect(warned.err).toMatch(/^Warning: .*quot/);
    const refused = await secrets(
      ["set", "quoted", "--description", "a\u0001b", "--expires-at", "soon"],
      secretValue(),
    );
    expect(refused.exitCode).toBe(2);
    expect(refused.err).toMatch(
      /^The request is not valid:\n {2}\/description: .*\n {2}\/expiresAt: .*\n\(invalid-request, request /m,
    );
  });
});

describe("what is known of a secret", () => {
  test("is listed, page by page, as a table, JSON or YAML, and without any value", async () => {
    for (let index = 0; index < 3; index += 1) await secrets(["set", `list_${index}`], secretValue());
    const table = await secrets(["list", "--prefix", "list_"]);
    expect(table.out).toMatch(/^NAME {4}VERSION {2}UPDATED .*\nlist_0 {2}1 .*\nlist_1 .*\nlist_2 .*\n$/);
    const json = await secrets(["list", "--prefix", "list_", "--output", "json"]);
    expect(JSON.parse(json.out).items.map(({ name }: { name: string }) => name)).toEqual([
      "list_0",
      "list_1",
      "list_2",
    ]);
    const yaml = await secrets(["list", "--prefix", "list_", "-o", "yaml"]);
    expect(yaml.out).toMatch(/^items:\n {2}- name: list_0\n/);
    const one = await secrets(["show", "list_0"]);
    expect(one.out).toMatch(/^name: +list_0\nversion: +1\n/);
  });

  test("says whether a value is the stored one", async () => {
    const value = secretValue();
    await secrets(["set", "verified"], value);
    expect(await secrets(["verify", "verified"], value)).toMatchObject({
      exitCode: 0,
      out: "The value is version 1 of verified.\n",
    });
    expect(await secrets(["verify", "verified"], secretValue())).toMatchObject({
      exitCode: 1,
      out: "The value is not version 1 of verified, the current one.\n",
    });
  });
});

describe("the versions of a secret", () => {
  test("are staged, promoted, rolled back, restored and destroyed", async () => {
    const [first, second] = [secretValue(), secretValue()];
    await secrets(["set", "turning"], first);
    const staged = await secrets(["set", "turning", "--stage"], second);
    expect(staged.out).toBe("Staged version 2 of turning. Use it: factory-secrets secrets promote turning 2\n");
    expect(await isStored("turning", first)).toBe(true);
    const promoted = await secrets(["promote", "turning", "2", "--if-version", "1"]);
    expect(promoted.out).toBe(
      "The current version of turning is 2. Before it: 1. To undo: factory-secrets secrets rollback turning\n",
    );
    expect((await secrets(["rollback", "turning"])).out).toMatch(/^The current version of turning is 1\./);
    expect(await isStored("turning", first)).toBe(true);
    expect((await secrets(["restore", "turning", "2"])).out).toMatch(/^The current version of turning is 3\./);
    expect(await isStored("turning", second)).toBe(true);
    const history = await secrets(["history", "turning"]);
    expect(history.out).toMatch(/^VERSION {2}STATE .*\n3 +current .*\n2 +staged .*\n1 +previous .*\n$/);
    expect(await secrets(["destroy", "turning", "2", "--yes"])).toMatchObject({ exitCode: 0 });
    expect((await secrets(["history", "turning", "--output", "json"])).out).toContain('"state": "destroyed"');
    expect(await secrets(["promote", "turning", "99"])).toMatchObject({
      exitCode: 5,
      err: expect.stringMatching(/^There is no version 99 of the secret "turning"\.\n\(not-found, request \S+\)\n$/),
    });
  });

  test("are destroyed only where that is meant, and each refusal names the way on this command line", async () => {
    for (let version = 1; version <= 2; version += 1) await secrets(["set", "kept"], secretValue());
    const current = await secrets(["destroy", "kept", "2", "--force", "--yes"]);
    expect(current.exitCode).toBe(5);
    expect(current.err).toMatch(
      /^Version 2 is the current one\. .*\nOn this command line: factory-secrets secrets promote kept with the number of another version, or factory-secrets secrets rm kept --purge\n\(secret-in-use, /,
    );
    expect(current.err).not.toContain("--force");
    const before = await secrets(["destroy", "kept", "1", "--yes"]);
    expect(before).toMatchObject({
      exitCode: 5,
      err: expect.stringContaining("with force=true.\nOn this command line: --force.\n(secret-in-use, "),
    });
    expect(await secrets(["destroy", "kept", "1", "--yes", "--force"])).toMatchObject({ exitCode: 0 });
  });

  test("come back with a secret that was deleted", async () => {
    await secrets(["set", "deleted"], secretValue());
    const asked = await secrets(["rm", "deleted"]);
    expect(asked).toMatchObject({
      exitCode: 2,
      err: "The secret deleted would be deleted. Not confirmed: no terminal. Pass `--yes` to skip the question.\n",
    });
    const refused = await desk.runWith(["n"], ["secrets", "rm", "deleted"]);
    expect(refused).toMatchObject({
      exitCode: 1,
      err: "Not confirmed. Nothing was changed.\n",
      asked: ["The secret deleted would be deleted. Continue? [y/N] "],
    });
    expect(await desk.runWith(["y"], ["secrets", "rm", "deleted"])).toMatchObject({ exitCode: 0 });
    expect((await secrets(["list", "--deleted"])).out).toMatch(/\ndeleted {2}1 /);
    expect(await secrets(["undelete", "deleted"])).toMatchObject({ exitCode: 0 });
    expect(await secrets(["show", "deleted"])).toMatchObject({ exitCode: 0 });
    expect(await secrets(["rm", "deleted", "--purge", "--yes"])).toMatchObject({
      exitCode: 0,
      err: "Destroyed deleted.\n",
    });
    expect((await secrets(["list", "--deleted"])).out).not.toContain("deleted  1");
    await secrets(["set", "deleted"], secretValue());
    await secrets(["rm", "deleted", "--yes"]);
    expect((await secrets(["purge", "deleted"])).exitCode).toBe(2);
    expect(await secrets(["purge", "deleted", "--yes"])).toMatchObject({ exitCode: 0 });
    expect(await secrets(["undelete", "deleted"])).toMatchObject({ exitCode: 5 });
  });

  test("show in the usage and in the rotation report", async () => {
    await secrets(["set", "unused"], secretValue());
    const usage = await secrets(["usage", "unused"]);
    expect(usage.out).toMatch(
      /^version: +1\nentries: +none\nlast used: +not in the last 90 days\nolder tokens until: none is valid\n$/,
    );
    const report = await secrets(["report", "--rotated-before", "2999-01-01T00:00:00Z"]);
    expect(report.out).toMatch(/\nunused +1 +0 /);
  });
});

test("doctor and promote --doctor ask the registries of a secret; one that no entry names has nothing to try, which hinders no promotion", async () => {
  await secrets(["set", "examined"], secretValue());
  const report = await secrets(["doctor", "examined"]);
  expect(report).toMatchObject({ exitCode: 1, err: "", out: expect.stringMatching(/^examined, version 1\n/) });
  expect(report.out).toContain("Nothing to try: no registry entry names this secret.");
  const json = JSON.parse((await secrets(["doctor", "examined", "--version", "1", "-o", "json"])).out);
  expect(json).toMatchObject({ name: "examined", version: 1, outcome: "unknown", passed: true, registries: [] });
  await secrets(["set", "examined", "--stage"], secretValue());
  const promoted = await secrets(["promote", "examined", "2", "--doctor"]);
  expect(promoted.exitCode).toBe(0);
});

test("a secret that an entry names is deleted only with --force", async () => {
  const token = watched("not-a-real-secret-named-3f1");
  await secrets(["set", "named"], `ci:${token}`);
  const config = "container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: named\n";
  await desk.run(["config", "put", "-"], config);
  const refused = await secrets(["rm", "named", "--yes"]);
  expect(refused).toMatchObject({
    exitCode: 5,
    err: expect.stringContaining("On this command line: --force.\n(secret-in-use, "),
  });
  expect(await secrets(["rm", "named", "--yes", "--force"])).toMatchObject({ exitCode: 0 });
});
