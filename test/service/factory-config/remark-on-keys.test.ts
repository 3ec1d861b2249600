import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseDocument } from "../../../src/factory-config/parse-document.js";
import { problemsOf } from "../../support/factory-config/problems-of.js";
import { type ConfigOverHttp, startConfigOverHttp } from "./config-over-http.js";

function warningsOf(source: string): string[] {
  const result = parseDocument(source);
  return result.ok ? result.warnings.map(({ at, reason }) => `${at}: ${reason}`) : ["refused"];
}

const slip = (key: string, meant: string): string =>
  `The key "${key}" is not known and is ignored; did you mean ${meant}?`;
const entries = "container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: x\n";

describe("a key of the document", () => {
  it.each(["registries", "Registries", "registry", "docker-registries", "image_registries"])(
    "that is another program's word for the registries is kept, and the warning says that there are none: %s",
    (key) => {
      const found = `The key "${key}" is not known, so this config has no registries; did you mean container_registries?`;
      expect(warningsOf(`lmp: {}\n${key}: []\n`)).toEqual([`line 2, column 1: ${found}`]);
      expect(warningsOf(`${entries}${key}: []\n`)).toEqual([`line 5, column 1: ${slip(key, "container_registries")}`]);
    },
  );

  it.each([
    ["container_registeries", "container_registries"],
    ["notfy", "notify"],
    ["conatiners", "containers"],
    ["ci-script", "ci_scripts"],
  ])("that is a slip is kept, with the nearest name: %s", (key, meant) => {
    expect(warningsOf(`${entries}${key}: 1\n`)).toEqual([`line 5, column 1: ${slip(key, meant)}`]);
  });

  it("that is a slip of the only list of registries is refused as before", () => {
    expect(problemsOf("container_registry: []\n")).toEqual([
      ["line 1, column 1", expect.stringContaining("no registries")],
    ]);
  });

  it.each(["notify", "lmp", "containers", "tuf", "ci_scripts", "x-team", "version", "metadata", "'a b'", "1"])(
    "of the factory or of another system is kept without a warning: %s",
    (key) => {
      expect(warningsOf(`${entries}${key}: {}\n`)).toEqual([]);
    },
  );

  it.each([
    ["notify:\n  webhook: []\n", "line 6, column 3", slip("webhook", "webhooks")],
    ["notify:\n  webhooks:\n  - secretname: x\n", "line 7, column 5", slip("secretname", "secret_name")],
  ])("is looked at where a secret is named, too: %j", (text, at, reason) => {
    expect(warningsOf(entries + text)).toEqual([`${at}: ${reason}`]);
  });
});

describe("a key of an entry", () => {
  it.each([
    ["aws", "region: us-east-2\n  aws_creds_secret_name: x", "host", "url"],
    ["aws", "region: us-east-2\n  aws_creds_secret_name: x", "role_arn", "aws_role_arn"],
    ["azure", "azure_principal_secret_name: x", "tenant_id", "azure_tenant_id"],
    ["azure", "azure_principal_secret_name: x", "tenant", "azure_tenant_id"],
    ["azure", "azure_principal_secret_name: x", "login_server", "url"],
    ["gar", "gar_creds_secret_name: x", "host", "hosts"],
    ["gar", "gar_creds_secret_name: x", "service_account", "gar_service_account"],
    ["generic", "url: ghcr.io\n  generic_secret_name: x", "pass_through", "passThrough"],
    ["generic", "url: ghcr.io\n  generic_secret_name: x", "secret_name", "generic_secret_name"],
  ])("of type %s by another word gets the name that the type has for it", (type, rest, key, meant) => {
    const lines = rest.split("\n").length;
    expect(warningsOf(`- type: ${type}\n  ${rest}\n  ${key}: y\n`)).toEqual([
      `line ${lines + 2}, column 3: ${slip(key, meant)}`,
    ]);
  });

  it.each([
    ["generic", "url: ghcr.io\n  secret_name: x", "generic_secret_name"],
    ["generic", "server: ghcr.io\n  generic_secret_name: x", "url"],
    ["azure", "principal_secret_name: x", "azure_principal_secret_name"],
  ])("that is missing in type %s is looked for under other words", (type, rest, meant) => {
    expect(problemsOf(`- type: ${type}\n  ${rest}\n`)).toEqual([
      [expect.any(String), expect.stringContaining(`did you mean ${meant}?`)],
    ]);
  });
});

describe("what is saved with a warning", () => {
  let http: ConfigOverHttp;
  beforeAll(async () => {
    http = await startConfigOverHttp();
    await http.putSecrets("creds");
  });
  afterAll(() => http.close());
  const region =
    'The AWS region "us-east-22" is not known; did you mean us-east-2? If AWS has opened it recently, keep it.';
  const document =
    "registries: []\ncontainer_registries:\n- type: aws\n  region: us-east-22\n  aws_creds_secret_name: creds\n";
  const expected = [
    { at: "line 1, column 1", message: slip("registries", "container_registries") },
    { at: "line 4, column 11", message: region },
  ];

  it.each([{ dryRun: "true" }, {}])("is said by PUT config with %j", async (query) => {
    const reply = await http.put(http.operator, document, query);
    expect(reply.body.warnings).toEqual(expected);
  });

  it("is said when an entry is added or changed", async () => {
    await http.put(http.operator, "container_registries: []\n");
    const entry = { type: "aws", region: "us-east-22", secretName: "creds" };
    const added = await http.service.as(http.operator).post(`${http.path}/registries`).send(entry);
    expect(added.body).toMatchObject({ warnings: [{ message: region }] });
    const url = "123456789012.dkr.ecr.us-east-22.amazonaws.com";
    const changed = await http.service
      .as(http.operator)
      .put(`${http.path}/registries/aws:us-east-22`)
      .send({ type: "aws", url, secretName: "creds" });
    expect(changed.body).toMatchObject({ entry: { id: url }, warnings: [{ message: region }] });
  });

  it("and what is refused names the nearest, too", async () => {
    const entry = { type: "aws", region: "US-EAST-2", secretName: "creds" };
    const reply = await http.service.as(http.operator).post(`${http.path}/registries`).send(entry);
    expect(reply.body).toMatchObject({
      status: 400,
      invalid: [{ at: "/region", reason: expect.stringContaining("Did you mean us-east-2?") }],
    });
  });
});
