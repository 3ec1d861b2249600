import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { runHere } from "../../../support/cli/run-here.js";
import { whileAnswering } from "../../../support/cli/stand-in-service.js";
import { secretValue } from "../../../support/leak-watch.js";
import { startTestService, type TestService } from "../../../support/test-service.js";

let service: TestService;
let environment: Record<string, string>;
let factory: string;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.close());
beforeEach(async () => {
  factory = (await service.createFactory()).name;
  environment = {
    FACTORY_SECRETS_URL: service.url,
    FACTORY_SECRETS_TOKEN: service.operatorToken,
    FACTORY_SECRETS_FACTORY: factory,
    XDG_CONFIG_HOME: "/nonexistent",
  };
  for (const name of ["aws_creds", "azprincipal"]) await put(`secrets/${name}`, { value: secretValue() });
});

const put = (path: string, body: object) =>
  service.as(service.operatorToken).put(`/v1/factories/${factory}/${path}`).send(body).expect(201);

const complete = (where: string, ...words: string[]) => runHere(environment, "__complete", where, ...words);

test("the names of secrets are offered for an operand and for an option", async () => {
  const names = { code: 0, out: "aws_creds\nazprincipal\n", err: "" };
  expect(await complete("operand:/secrets/show", "secrets", "show")).toEqual(names);
  expect(await complete("value:--secret", "audit", "tail", "--secret")).toEqual(names);
  expect(await complete("operand:/secrets/show", "secrets", "--factory", factory, "show", "-o", "json")).toEqual(names);
});

test("an operand that is there already is not offered again, but of several", async () => {
  expect(await complete("operand:/secrets/promote", "secrets", "promote", "aws_creds")).toMatchObject({ out: "" });
  await service.as(service.operatorToken).post(`/v1/factories/${factory}/jobs`).send({ name: "nightly" }).expect(201);
  expect(await complete("operand:/jobs/end", "jobs", "end", "another")).toMatchObject({ out: "nightly\n" });
});

test("factories are offered for --factory, and the one that is named is asked", async () => {
  expect((await complete("value:--factory", "secrets", "list", "--factory")).out.split("\n")).toContain(factory);
  const other = (await service.createFactory()).name;
  expect(await complete("operand:/secrets/show", "secrets", "show", "--factory", other)).toMatchObject({ out: "" });
});

test("the operations of the API are offered, without asking the service", async () => {
  environment = { ...environment, FACTORY_SECRETS_URL: "http://127.0.0.1:9" };
  expect((await complete("operand:/api", "api")).out.split("\n")).toContain("listSecrets");
});

test("a name that a shell could do something with is not offered", async () => {
  for (const name of ["$(touch x)", "a b", "`x`", "fine", "-f"])
    await service.as(service.operatorToken).post(`/v1/factories/${factory}/jobs`).send({ name }).expect(201);
  expect((await complete("operand:/jobs/end", "jobs", "end")).out).toBe("fine\n");
});

test.each([
  ["without a login", () => ({ FACTORY_SECRETS_TOKEN: "" })],
  ["with a token that is not accepted", () => ({ FACTORY_SECRETS_TOKEN: "fso_not-a-token" })],
  ["where nothing listens", () => ({ FACTORY_SECRETS_URL: "http://127.0.0.1:9" })],
  ["of a factory that does not exist", () => ({ FACTORY_SECRETS_FACTORY: "no-such" })],
])("nothing is offered and nothing said %s", async (_what, settings) => {
  environment = { ...environment, ...settings() };
  expect(await complete("operand:/secrets/show", "secrets", "show")).toEqual({ code: 0, out: "", err: "" });
});

test("nothing is offered for a word that names no thing, or of a service that does not answer in time", async () => {
  expect(await complete("operand:/config/put", "config", "put")).toEqual({ code: 0, out: "", err: "" });
  expect(await complete("nonsense")).toEqual({ code: 0, out: "", err: "" });
  const startedAt = performance.now();
  await whileAnswering(
    () => undefined,
    async (url) => {
      environment = { ...environment, FACTORY_SECRETS_URL: url };
      expect(await complete("operand:/secrets/show", "secrets", "show")).toEqual({ code: 0, out: "", err: "" });
    },
  );
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});
