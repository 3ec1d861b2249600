import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { permissions } from "../../../../src/core/permissions.js";
import { startTestService, type TestService } from "../../../support/test-service.js";
import { type OperatorDesk, openOperatorDesk } from "./operator-desk.js";

let service: TestService;
let factory: string;
let other: string;
beforeAll(async () => {
  service = await startTestService();
  factory = (await service.createFactory()).name;
  other = (await service.createFactory()).name;
});
afterAll(() => service?.close());

let desk: OperatorDesk;
beforeEach(() => {
  desk = openOperatorDesk({});
});
afterEach(() => desk.close());

const path = (): string => join(desk.directory, "logins", "config.json");
const kept = () => JSON.parse(readFileSync(path(), "utf8")).logins;
const apiToken = async (name: string): Promise<string> => (await service.createApiToken(name, [...permissions])).token;

describe("login", () => {
  test("keeps service, factory and token for this user alone, and later commands use them", async () => {
    const token = await apiToken(factory);
    const done = await desk.run(["login", "--url", `${service.url}/`], `${token}\n`);
    expect(done).toMatchObject({ exitCode: 0, out: "" });
    expect(done.err).toBe(
      `Logged in to ${service.url}, factory "${factory}" as "${permissions.join(" ")}". Saved in ${path()}.\n`,
    );
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(statSync(join(desk.directory, "logins")).mode & 0o777).toBe(0o700);
    expect(kept()).toEqual([{ url: service.url, anyFactory: false, factory, token }]);
    const who = await desk.run(["whoami"]);
    expect(who.out).toMatch(
      new RegExp(`^service: +${service.url}\ncredential: +the saved login for .*\nkind: +api-token\n`),
    );
    expect(await desk.run(["secrets", "list"])).toMatchObject({ exitCode: 0 });
  });

  test("asks the person at the terminal, without showing the token", async () => {
    const token = await apiToken(factory);
    const done = await desk.runWith([service.url, token], ["login"]);
    expect(done).toMatchObject({ exitCode: 0, asked: ["URL of the service: ", "Token (not shown): "] });
  });

  test("keeps nothing that does not work", async () => {
    const token = await apiToken(factory);
    const mistyped = token.slice(0, -1) + (token.endsWith("x") ? "y" : "x");
    const wrong = await desk.run(["login", "--url", service.url], mistyped);
    expect(wrong).toMatchObject({ exitCode: 4, err: expect.stringContaining("does not accept the given credential") });
    const elsewhere = await desk.run(["login", "--url", service.url, "--factory", other], token);
    expect(elsewhere).toMatchObject({
      exitCode: 4,
      err: `The credential is for the factory "${factory}", not for "${other}". The login was not saved.\n`,
    });
    const nowhere = await desk.run(["login", "--url", service.url, "--factory", "no-such"], service.operatorToken);
    expect(nowhere).toMatchObject({
      exitCode: 4,
      err: expect.stringMatching(/^There is no factory "no-such"\.\n\(not-found, /),
    });
    const blank = await desk.run(["login", "--url", service.url], "two words");
    expect(blank).toMatchObject({ exitCode: 2, err: expect.stringContaining("contains blanks") });
    expect(() => kept()).toThrow();
  });

  test("names the option or setting with an invalid URL", async () => {
    const sentence = "must be an http:// or https:// URL without a user, a query or a fragment.\n";
    expect(await desk.run(["login", "--url", "localhost:8080"])).toMatchObject({
      exitCode: 2,
      err: `--url ${sentence}`,
    });
    const typed = await desk.runWith(["localhost:8080"], ["login"]);
    expect(typed).toMatchObject({ exitCode: 2, err: `The URL ${sentence}` });
    desk.environment.FACTORY_SECRETS_URL = "localhost:8080";
    expect(await desk.run(["whoami"])).toMatchObject({ exitCode: 2, err: `FACTORY_SECRETS_URL ${sentence}` });
  });

  test("takes an OAuth client, and asks for an access token each time", async () => {
    const made = await service
      .as(service.operatorToken)
      .post(`/v1/factories/${factory}/oauth-clients`)
      .send({ name: "desk", permissions: ["secrets:list"] });
    const { id, clientSecret } = made.body;
    const done = await desk.run(["login", "--url", service.url, "--client-id", id], clientSecret);
    expect(done).toMatchObject({ exitCode: 0 });
    expect(await desk.run(["secrets", "list"])).toMatchObject({ exitCode: 0 });
    await service.as(service.operatorToken).delete(`/v1/factories/${factory}/oauth-clients/${id}`).expect(204);
    const after = await desk.run(["secrets", "list"]);
    expect(after).toMatchObject({
      exitCode: 4,
      err: expect.stringMatching(/^The service does not accept the saved login/),
    });
  });

  test("may be for several factories: the newest that fits is used, an operator's fits any", async () => {
    for (const name of [factory, other]) await desk.run(["login", "--url", service.url], await apiToken(name));
    const whose = async (...args: string[]) =>
      JSON.parse((await desk.run(["whoami", "-o", "json", ...args])).out).factory;
    expect(await whose()).toBe(other);
    expect(await whose("--factory", factory)).toBe(factory);
    const missing = await desk.run(["whoami", "--factory", "third"]);
    expect(missing).toMatchObject({
      exitCode: 3,
      err: expect.stringContaining('There is no login for the factory "third". Run'),
    });
    await desk.run(["login", "--url", service.url, "--factory", factory], service.operatorToken);
    expect(await desk.run(["secrets", "list", "--factory", other])).toMatchObject({ exitCode: 0 });
  });

  test("survives another at the same time", async () => {
    const tokens = await Promise.all([apiToken(factory), apiToken(other)]);
    await Promise.all(tokens.map((token) => desk.run(["login", "--url", service.url], token)));
    expect(kept()).toHaveLength(2);
  });
});

describe("a login that is kept", () => {
  beforeEach(async () => {
    await desk.run(["login", "--url", service.url], await apiToken(factory));
  });

  test("is never sent to another service", async () => {
    const done = await desk.run(["secrets", "list", "--url", "http://127.0.0.1:9"]);
    expect(done).toMatchObject({
      exitCode: 3,
      err: expect.stringMatching(
        /^There is no login to http:\/\/127\.0\.0\.1:9\. Run `factory-secrets login --url http:\/\/127\.0\.0\.1:9`/,
      ),
    });
  });

  test("loses to the environment", async () => {
    desk.environment.FACTORY_SECRETS_TOKEN = service.operatorToken;
    const who = await desk.run(["whoami"]);
    expect(who.out).toContain("credential:  the token in FACTORY_SECRETS_TOKEN\nkind:        operator\n");
    const again = await desk.run(["login", "--url", service.url], await apiToken(factory));
    expect(again.err).toContain("FACTORY_SECRETS_TOKEN is set and wins over this login.");
  });

  test("that others may read is warned of", async () => {
    chmodSync(path(), 0o644);
    expect((await desk.run(["whoami"])).err).toBe(
      `Warning: other users of this machine can read your logins. To stop that: chmod 600 ${path()}\n`,
    );
  });

  test("is forgotten by logout, and not withdrawn", async () => {
    const [{ token }] = kept();
    expect(await desk.run(["logout"])).toMatchObject({
      exitCode: 0,
      err: `Forgot the login to ${service.url}, factory "${factory}".\n`,
    });
    expect(kept()).toEqual([]);
    expect(await desk.run(["logout"])).toMatchObject({
      exitCode: 0,
      err: "No login was forgotten: none is saved for this service and factory.\n",
    });
    expect((await service.as(token).get("/v1/whoami")).status).toBe(200);
  });
});

test("a file that is not one of logins is not changed", async () => {
  mkdirSync(join(desk.directory, "logins"));
  for (const text of ["not JSON", '{"logins":[{"url":"https://secrets.example.com"}]}']) {
    writeFileSync(path(), text);
    const done = await desk.run(["login", "--url", service.url], await apiToken(factory));
    expect(done).toMatchObject({
      exitCode: 1,
      err: expect.stringContaining("is not a file that factory-secrets wrote"),
    });
    expect(readFileSync(path(), "utf8")).toBe(text);
  }
});

test("without any login the way to one is told", async () => {
  desk.environment.FACTORY_SECRETS_URL = service.url;
  const done = await desk.run(["secrets", "list"]);
  expect(done).toMatchObject({ exitCode: 3, err: expect.stringContaining("Run `factory-secrets login --url") });
  desk.environment.FACTORY_SECRETS_URL = "";
  expect(await desk.run(["secrets", "list"])).toMatchObject({ exitCode: 3 });
  desk.environment.FACTORY_SECRETS_TOKEN = service.operatorToken;
  expect(await desk.run(["secrets", "list"])).toMatchObject({
    exitCode: 2,
    err: expect.stringMatching(/^The URL of the service is not set\./),
  });
  desk.environment.FACTORY_SECRETS_URL = service.url;
  desk.environment.FACTORY_SECRETS_TOKEN = service.operatorToken;
  expect(await desk.run(["secrets", "list"])).toMatchObject({
    exitCode: 2,
    err: expect.stringMatching(/^No factory is named\./),
  });
});
