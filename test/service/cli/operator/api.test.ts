import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { operationIds, operationOf } from "../../../../src/cli/operator/operation.js";
import { whileAnswering } from "../../../support/cli/stand-in-service.js";
import { secretValue } from "../../../support/leak-watch.js";
import { documentOf, serveDesk } from "./served-desk.js";

const served = serveDesk();

const api = (...args: string[]) => served.desk.run(["api", ...args]);
/** What an operation prints that has no JSON: it is written piece by piece. */
async function written(...args: string[]): Promise<string> {
  const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  try {
    expect(await api(...args)).toMatchObject({ exitCode: 0 });
    return out.mock.calls.map(([text]) => String(text)).join("");
  } finally {
    out.mockRestore();
  }
}

const usage = (sentence: string) => ({ exitCode: 2, out: "", err: expect.stringContaining(sentence) });

describe("api", () => {
  test("lists the operations without a login, and says the fields of each", async () => {
    const listed = await api();
    expect(listed.out).toMatch(/^OPERATION +METHOD +PATH +ABOUT\n/);
    expect(listed.out).toMatch(/\ncreateJob +POST +\/v1\/factories\/\{factory\}\/jobs +\S/);
    const { items } = JSON.parse((await api("--json")).out);
    expect(items).toHaveLength(operationIds.length);
    const fields = items.find(({ operation }: { operation: string }) => operation === "createJob").fields;
    expect(fields).toMatchObject({ factory: "text", name: "text", ttlSeconds: "integer", deliverSecrets: "boolean" });
    served.desk.environment.FACTORY_SECRETS_TOKEN = "";
    expect(await api()).toMatchObject({ exitCode: 0 });
    // An operation that takes no credential needs none.
    expect(JSON.parse((await api("getAuthorizationServer")).out)).toHaveProperty("issuer");
    expect(await api("listSecrets")).toMatchObject({ exitCode: 3 });
    served.desk.environment.FACTORY_SECRETS_TOKEN = served.service.operatorToken;
  });

  test("sends each field where the operation has it, with its type", async () => {
    const grants = JSON.stringify([{ registry: "ghcr.io" }]);
    const opened = await api("createJob", "-F", "name=nightly", "-F", "ttlSeconds=600", "-F", `grants=${grants}`);
    expect(opened).toMatchObject({ exitCode: 0, err: "" });
    const { id, name } = JSON.parse(opened.out);
    expect(name).toBe("nightly");
    expect(JSON.parse((await api("getJob", "--field", `id=${id}`)).out)).toMatchObject({ id, state: "running" });
    expect(await api("endJob", "--field", `id=${id}`)).toEqual({ exitCode: 0, out: "", err: "" });
    const permissions = ["secrets:list", "audit:read"].flatMap((one) => ["-F", `permissions=${one}`]);
    expect(JSON.parse((await api("createApiToken", "-F", "name=x", ...permissions)).out).permissions).toHaveLength(2);
  });

  test("takes a value from a file or standard input, and a raw one as it is", async () => {
    const file = join(served.desk.directory, "value");
    writeFileSync(file, secretValue());
    expect(await api("putSecret", "-F", "name=a", "-F", `value=@${file}`)).toMatchObject({ exitCode: 0 });
    const value = secretValue();
    expect(await served.desk.run(["api", "putSecret", "-F", "name=b", "-F", "value=@-"], value)).toMatchObject({
      exitCode: 0,
    });
    expect(await served.desk.run(["secrets", "verify", "b"], value)).toMatchObject({ exitCode: 0 });
    expect(await api("putSecret", "-F", "name=c", "-f", "value=@not-a-file")).toMatchObject({ exitCode: 0 });
    const again = await api("putSecret", "-F", "name=c", "-f", "value=@x", "-F", "If-None-Match=*");
    expect(again).toMatchObject({ exitCode: 5, err: expect.stringContaining("(precondition-failed") });
    // The sentence names the parameter, which is a field here and an option elsewhere.
    await served.desk.run(["secrets", "set", "a"], secretValue());
    const kept = await api("destroySecretVersion", "-F", "name=a", "-F", "version=1");
    expect(kept.err).toContain("force=true");
    expect(kept.err).not.toContain("--force");
  });

  test("takes a whole body from --input, of any media type", async () => {
    const document = documentOf("ghcr.io");
    const put = await served.desk.run(["api", "putConfig", "--input", "-", "-F", "reason=moved"], document);
    expect(put).toMatchObject({ exitCode: 0 });
    expect(await written("getConfigDocument")).toBe(document);
    const job = await served.desk.run(["api", "createJob", "--input", "-"], '{"name":"whole"}');
    expect(JSON.parse(job.out)).toMatchObject({ name: "whole" });
    expect(await api("createJob", "--input", "-", "-F", "name=x")).toMatchObject(
      usage("--field name cannot be given too"),
    );
    expect(await api("getJob", "--input", "-", "-F", "id=x")).toMatchObject(usage("getJob takes no body."));
  });

  test("sends a form", async () => {
    const made = JSON.parse(
      (await served.desk.run(["oauth-clients", "create", "x", "--permission", "secrets:list", "--json"])).out,
    );
    const form = [`client_id=${made.id}`, "grant_type=client_credentials"].flatMap((one) => ["-F", one]);
    const refused = await api("requestToken", ...form, "-F", "client_secret=not-the-secret");
    expect(refused).toMatchObject({ exitCode: 5, err: expect.stringContaining("(invalid-client, request ") });
    const token = await api("requestToken", ...form, "-F", `client_secret=${made.clientSecret}`);
    expect(token).toMatchObject({ exitCode: 0, err: "" });
    expect(JSON.parse(token.out).token_type).toBe("Bearer");
  });

  test("shows an error of another form than ours, such as AWS's", async () => {
    const error = { __type: "ServerException", message: "No." };
    const refused = await whileAnswering(
      (_, response) => response.writeHead(400).end(JSON.stringify(error)),
      (url) => api("ecr", "--url", url),
    );
    expect(refused).toMatchObject({ exitCode: 5, err: "The service answered 400.\n" });
    expect(JSON.parse(refused.out)).toEqual(error);
  });

  test("prints a reply that is not JSON as it is", async () => {
    expect(await written("getRotationReportCsv")).toMatch(/^name,/);
    expect(await written("getCommandLine")).toContain("factory-secrets-cli");
  });

  test("follows the pages of a list with --paginate", async () => {
    for (const name of ["a", "b", "c"]) await served.desk.run(["secrets", "set", name], secretValue());
    const one = JSON.parse((await api("listSecrets", "-F", "pageSize=1")).out);
    expect(one).toMatchObject({ items: [{ name: "a" }], nextPageToken: expect.any(String) });
    const all = JSON.parse((await api("listSecrets", "--paginate")).out);
    expect(all.items.map(({ name }: { name: string }) => name)).toEqual(["a", "b", "c", "creds"]);
  });

  test.each([
    [["lstSecrets"], 'There is no operation "lstSecrets". Did you mean listSecrets?'],
    [["getSecret"], "/v1/factories/{factory}/secrets/{name} needs name. Pass --field name=VALUE."],
    [["getSecret", "-F", "nmae=x"], 'getSecret has no field "nmae". Did you mean name? Its fields: factory, name.'],
    [["createJob", "-F", "name"], "Write --field NAME=VALUE."],
    [["createJob", "-F", "ttlSeconds=soon"], '"soon" is not a whole number.'],
    [["createJob", "-F", "deliverSecrets=perhaps"], 'write true or false, not "perhaps".'],
    [["createJob", "-F", "grants=ghcr.io"], "this must be JSON"],
    [["createJob", "-F", "name=a", "-F", "name=b"], "--field name is given twice."],
  ])("%j is refused with what to write", async (args, sentence) => {
    expect(await api(...args)).toMatchObject(usage(sentence));
  });

  test.each(operationIds)("reaches %s", async (id) => {
    const { method, path, parameters, reply = "" } = operationOf(id);
    const sample = (name: string): string => (parameters[name]?.type === "integer" ? "1" : "x");
    const inPath = Object.keys(parameters).filter((name) => parameters[name]?.in === "path");
    const fields = inPath.flatMap((name) => ["-F", `${name}=${sample(name)}`]);
    let asked = "";
    const done = await whileAnswering(
      (request, response) => {
        asked = `${request.method} ${request.url}`;
        if (reply === "") response.writeHead(204).end();
        else response.writeHead(200, { "content-type": reply }).end(reply.includes("json") ? "{}" : "text\n");
      },
      (url) => served.desk.run(["api", id, ...fields, "--url", url]),
    );
    expect(asked).toBe(`${method} ${path.replace(/\{(\w+)\}/g, (_, name) => sample(name))}`);
    expect(done).toMatchObject({ exitCode: 0, err: "" });
  });
});

describe("--json and --query", () => {
  const run = (...args: string[]) => served.desk.run(args);

  test("select from what a command has found", async () => {
    await run("secrets", "set", "other", "--description", "a text");
    const list = ["secrets", "list"];
    expect(JSON.parse((await run(...list, "--json")).out)).toEqual(JSON.parse((await run(...list, "-o", "json")).out));
    expect((await run(...list, "--query", "items[].name")).out).toBe("creds\n");
    expect((await run(...list, "--query", "items[].{n: name, v: version}", "--json")).out).toBe(
      '[\n  {\n    "n": "creds",\n    "v": 1\n  }\n]\n',
    );
    expect((await run("secrets", "show", "creds", "--query", "version")).out).toBe("1\n");
    expect((await run("secrets", "show", "creds", "--query", "name", "-o", "yaml")).out).toBe("creds\n");
    expect((await run("--query", "name", "secrets", "show", "creds")).out).toBe("creds\n");
    expect(await run(...list, "--query", "items[")).toMatchObject(usage("--query is not a valid JMESPath expression"));
  });

  test("print what was acted on, where the API has no reply", async () => {
    expect(JSON.parse((await run("secrets", "rm", "creds", "--yes", "--json")).out)).toEqual({ name: "creds" });
    const open = async () => JSON.parse((await run("jobs", "open", "x", "--json")).out).id;
    const ids = [await open(), await open()];
    expect((await run("jobs", "end", ...ids, "--query", "items[].id")).out).toBe(`${ids.join("\n")}\n`);
  });

  test("print where an export was written", async () => {
    const out = join(served.desk.directory, "query.ndjson");
    expect(await run("audit", "export", "--out", out, "--query", "file")).toMatchObject({ out: `${out}\n` });
    expect(readFileSync(out, "utf8")).not.toBe("");
    expect(await run("audit", "export", "--json")).toMatchObject(usage("need --out FILE"));
  });
});
