import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ConfigOverHttp, startConfigOverHttp } from "./config-over-http.js";

const asList = "- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n";
const asMapping = `# kept\r\nnotify:   {email: "a@example.com"}\r\ncontainer_registries:\r\n${asList.replaceAll("\n", "\r\n")}lmp: &anchor [1, 0x1F, ~]\r\n`;

let http: ConfigOverHttp;
beforeAll(async () => {
  http = await startConfigOverHttp();
});
afterAll(() => http.close());

// Every test on a factory of its own would cost more; each begins by publishing what it stands on.
beforeEach(() => http.putSecrets("ghcr_creds", "aws_creds"));

describe("a published document", () => {
  it("has no config before the first, and 201 with an ETag for it", async () => {
    const before = await http.service.as(http.operator).get(`${http.path}/config`);
    expect(before.body).toMatchObject({ status: 404, code: "not-found" });
    const first = await http.put(http.operator, asList, {}, { "If-None-Match": "*" });
    expect(first.status).toBe(201);
    expect(first.body).toEqual({ version: 1, unchanged: false, warnings: [] });
    expect(first.headers.etag).toBe('"1"');
    expect((await http.put(http.operator, asMapping)).status).toBe(200);
  });

  it.each([
    ["the bare list", asList],
    ["a mapping with other keys, CRLF and comments", asMapping],
    ["no line break at its end, and text of every script", `${asList}# üñï 你好 🙂`],
    ["a BOM", `\uFEFF${asList}`],
    ["no entries", "container_registries: []\n"],
  ])("comes back byte for byte: %s", async (_what, text) => {
    const bytes = Buffer.from(text, "utf8");
    expect((await http.put(http.operator, bytes)).status).toBe(200);
    expect((await http.document()).equals(bytes)).toBe(true);
  });

  it.each(["", " \n", "\uFEFF# nothing\r\n"])("is not nothing, as a mistyped file name sends it: %j", async (text) => {
    const before = await http.document();
    const reply = await http.put(http.operator, text);
    expect(reply.body).toMatchObject({ status: 422, code: "invalid-config", message: /^The document is empty/ });
    expect(await http.document()).toEqual(before);
  });

  it("comes parsed, with its entries, every other key kept", async () => {
    await http.put(http.operator, asMapping);
    const reply = await http.service.as(http.operator).get(`${http.path}/config`);
    expect(reply.body).toMatchObject({
      document: { notify: { email: "a@example.com" }, lmp: [1, 31, null], container_registries: [{ url: "ghcr.io" }] },
      entries: [{ id: "ghcr.io", type: "generic", secretName: "ghcr_creds", url: "ghcr.io" }],
    });
  });

  it("that is the current one already makes no new version", async () => {
    const { body: before } = await http.put(http.operator, asList);
    const again = await http.put(http.operator, asList);
    expect(again.body).toEqual({ version: before.version, unchanged: true, warnings: [] });
  });
});

describe("a condition", () => {
  it("If-Match publishes over the version that it names, and 412 over any other", async () => {
    const { headers } = await http.put(http.operator, `${asList}# one\n`);
    const stale = await http.put(http.operator, `${asList}# two\n`, {}, { "If-Match": '"999"' });
    expect(stale.body).toMatchObject({ status: 412, code: "precondition-failed" });
    expect((await http.put(http.operator, `${asList}# two\n`, {}, { "If-Match": String(headers.etag) })).status).toBe(
      200,
    );
    expect((await http.put(http.operator, `${asList}# three\n`, {}, { "If-Match": String(headers.etag) })).status).toBe(
      412,
    );
    expect((await http.put(http.operator, asList, {}, { "If-None-Match": "*" })).status).toBe(412);
    expect((await http.put(http.operator, asList, {}, { "If-Match": "*" })).status).toBe(200);
  });

  it("lets one of many publishers through", async () => {
    const { headers } = await http.put(http.operator, `${asList}# base\n`);
    const publish = (_: unknown, n: number) =>
      http.put(http.operator, `${asList}# by ${n}\n`, {}, { "If-Match": String(headers.etag) });
    const replies = await Promise.all(Array.from({ length: 10 }, publish));
    const statuses = replies.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...Array.from({ length: 9 }, () => 412)]);
  });
});

describe("dryRun", () => {
  it("checks everything and writes nothing", async () => {
    const { body: before } = await http.put(http.operator, `${asList}# now\n`);
    const dry = await http.put(http.operator, `${asList}# later\n`, { dryRun: "true" });
    expect(dry.body).toEqual({ version: before.version + 1, unchanged: false, warnings: [] });
    expect(dry.headers.etag).toBeUndefined();
    expect((await http.document()).toString()).toBe(`${asList}# now\n`);
    const missing = await http.put(http.operator, asList.replace("ghcr_creds", "nobody"), { dryRun: "true" });
    expect(missing.body).toMatchObject({ status: 422, code: "invalid-config" });
    const next = await http.put(http.operator, `${asList}# later\n`);
    expect(next.body.version).toBe(before.version + 1);
  });
});

describe("what is wrong with a document", () => {
  it("is told with line and column, and a missing secret with the command that creates it", async () => {
    const reply = await http.put(http.operator, asMapping.replace("ghcr_creds", "ghcr_cred"));
    expect(reply.body).toMatchObject({
      status: 422,
      code: "invalid-config",
      invalid: [
        {
          at: expect.stringMatching(/^line 4, column \d+$/),
          reason: expect.stringContaining("fioctl secrets update ghcr_cred="),
        },
      ],
    });
    expect(reply.body.message).toBe(reply.body.detail);
  });

  it("warns of an entry that a request for everything fails at, and of none that stands alone", async () => {
    const aws = "- type: aws\n  region: us-east-2\n  aws_creds_secret_name: aws_creds\n";
    expect((await http.put(http.operator, asList)).body.warnings).toEqual([]);
    expect((await http.put(http.operator, aws + asList)).body.warnings).toEqual([
      { at: "line 4, column 3", message: expect.stringContaining('Ask for them with "registry" and "repositories"') },
    ]);
  });

  it("allowMissingSecrets makes a missing one a warning", async () => {
    const reply = await http.put(http.operator, asList.replace("ghcr_creds", "later"), { allowMissingSecrets: "true" });
    expect(reply.status).toBe(200);
    expect(reply.body.warnings).toMatchObject([{ message: expect.stringContaining("later") }]);
    await http.put(http.operator, asList);
  });

  it("is told all at once", async () => {
    const reply = await http.put(
      http.operator,
      `container_registries:\n- type: awss\n- type: generic\n  url: https://ghcr.io/x\n  generic_secret_name: ghcr_creds\n${asList}${asList}`,
    );
    expect(reply.body.invalid.length).toBeGreaterThanOrEqual(3);
    expect(reply.body.invalid[0].at).toMatch(/^line 2, column \d+$/);
  });

  it.each([
    ["262,144 bytes", 256 * 1024, 200],
    ["one byte more", 256 * 1024 + 1, 422],
    ["more than is read", 2 * 1024 * 1024, 413],
  ])("with %s is %d", async (_what, size, status) => {
    const document = `${asList}#`.padEnd(size - 1, "x");
    const reply = await http.put(http.operator, `${document}\n`);
    expect(reply.status).toBe(status);
  });

  it("is not read as anything but YAML", async () => {
    const put = http.service.as(http.operator).put(`${http.path}/config`).set("Content-Type", "text/html");
    expect((await put.send(asList)).status).toBe(415);
    const broken = await http.put(http.operator, Buffer.from([0x2d, 0x20, 0xff, 0xfe]));
    expect(broken.body).toMatchObject({ status: 422, code: "invalid-config" });
  });
});

describe("the history", () => {
  it("lists who, when and why, newest first, and gives each version back byte for byte", async () => {
    const token = await http.caller("config:write", "config:read", "secrets:write");
    const { body } = await http.put(token, `${asList}# old\n`, { reason: "ticket 7" });
    await http.put(http.operator, `${asList}# new\n`);
    const list = await http.service.as(token).get(`${http.path}/config/versions`).query({ pageSize: 2 });
    expect(list.body.items).toMatchObject([
      { version: body.version + 1, current: true, createdBy: "test operator" },
      { version: body.version, current: false, reason: "ticket 7", createdBy: expect.stringContaining("config:write") },
    ]);
    expect(list.body.nextPageToken).toEqual(expect.any(String));
    const old = http.service.as(token).get(`${http.path}/config/versions/${body.version}/document`);
    expect((await old.responseType("blob")).body.toString()).toBe(`${asList}# old\n`);
    expect((await http.service.as(token).get(`${http.path}/config/versions/99999/document`)).status).toBe(404);
    const parsed = await http.service.as(token).get(`${http.path}/config/versions/${body.version}`);
    expect(parsed.body).toMatchObject({ version: body.version, entries: [{ id: "ghcr.io" }] });
  });

  it("restores a version as a new one, by the rules of today", async () => {
    const { body: old } = await http.put(http.operator, `${asList}# restore me\n`);
    const { body: now } = await http.put(http.operator, "container_registries: []\n");
    const restore = () => http.service.as(http.operator).post(`${http.path}/config/versions/${old.version}:restore`);
    const stale = await restore().set("If-Match", `"${old.version}"`);
    expect(stale.status).toBe(412);
    const reply = await restore().query({ reason: "it was right" });
    expect(reply.body).toMatchObject({ version: now.version + 1, unchanged: false });
    expect((await http.document()).toString()).toBe(`${asList}# restore me\n`);
    const [row] = (await http.service.as(http.operator).get(`${http.path}/config/versions`)).body.items;
    expect(row).toMatchObject({ restoredFrom: old.version, reason: "it was right" });
    await http.put(http.operator, "container_registries: []\n");
    await http.service.as(http.operator).delete(`${http.path}/secrets/ghcr_creds`);
    expect((await restore()).body).toMatchObject({ status: 422, code: "invalid-config" });
    expect((await http.service.as(http.operator).post(`${http.path}/config/versions/99999:restore`)).status).toBe(404);
  });

  it("audits each publication with its version and reason, and nothing of the document", async () => {
    const { body } = await http.put(http.operator, `${asList}# only-in-the-document\n`, { reason: "audited" });
    const audit = await http.service.as(http.operator).get(`${http.path}/audit`).query({ action: "config.published" });
    expect(audit.body.items[0]).toMatchObject({ configVersion: body.version, reason: "audited" });
    expect(audit.text).not.toContain("only-in-the-document");
  });
});
