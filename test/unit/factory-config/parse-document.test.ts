import { describe, expect, it } from "vitest";
import { parseDocument } from "../../../src/factory-config/parse-document.js";

const documented = `# the factory
container_registries:
- type: aws
  region: us-east-2
  url: 123456789012.DKR.ecr.us-east-2.amazonaws.com   # may be absent
  aws_creds_secret_name: aws_creds
- type: azure
  url: example.azurecr.io
  azure_principal_secret_name: azprincipal
- type: gar
  gar_creds_secret_name: gcp_creds
- type: generic
  url: ghcr.io
  generic_secret_name: ghcr_creds
notify:
  webhooks:
  - url: https://hooks.example.com/
    secret_name: webhook
tuf: {root: 1.10}
`;

function parsed(text: string | Uint8Array) {
  const result = parseDocument(text);
  if (!result.ok) throw new Error(JSON.stringify(result.invalid));
  return result;
}

function entriesOf(text: string) {
  return parsed(text).config.entries.map(({ entry }) => entry);
}

function idsOf(text: string) {
  return entriesOf(text).map(({ id }) => id);
}

describe("parseDocument", () => {
  it("reads the documented shape", () => {
    const { config, warnings } = parsed(documented);
    expect(config.shape).toBe("mapping");
    expect(warnings).toEqual([]);
    expect(config.entries.map(({ entry }) => entry)).toEqual([
      {
        type: "aws",
        id: "123456789012.dkr.ecr.us-east-2.amazonaws.com",
        host: "123456789012.dkr.ecr.us-east-2.amazonaws.com",
        region: "us-east-2",
        secretName: "aws_creds",
      },
      { type: "azure", id: "example.azurecr.io", host: "example.azurecr.io", secretName: "azprincipal" },
      { type: "gar", id: "gar", hosts: [], secretName: "gcp_creds" },
      { type: "generic", id: "ghcr.io", host: "ghcr.io", secretName: "ghcr_creds", passThrough: false },
    ]);
    expect(config.webhookSecrets).toEqual([{ secretName: "webhook", at: "line 18, column 18" }]);
  });

  it("says where each entry stands", () => {
    const { config } = parsed(documented);
    expect(config.entries.map(({ at }) => at)).toEqual([
      "line 3, column 3",
      "line 7, column 3",
      "line 10, column 3",
      "line 12, column 3",
    ]);
    const azure = config.entries[1];
    expect(documented.slice(azure?.range.start, azure?.range.end)).toBe(
      "type: azure\n  url: example.azurecr.io\n  azure_principal_secret_name: azprincipal",
    );
  });

  it("reads the bare list of older documents, as bytes with a byte order mark and CRLF", () => {
    const { config } = parsed(Buffer.from("\uFEFF- type: azure\r\n  azure_principal_secret_name: azprincipal\r\n"));
    expect(config.shape).toBe("list");
    expect(config.entries).toMatchObject([{ entry: { id: "azure" }, at: "line 1, column 3" }]);
  });

  it.each([
    "",
    "\n",
    "# nothing yet\n",
    "---\n",
    "---\n...\n",
    "lmp: {}\n",
    "container_registries:\n",
    "container_registries: []",
    "[]",
  ])("finds no entries in %j, and nothing wrong", (text) => {
    expect(parsed(text)).toMatchObject({ config: { entries: [] }, warnings: [] });
  });

  it("shows the whole document as JSON, aliases written out", () => {
    const text = "a: &a {x: 1}\nb: *a\nbig: 99999999999999999999\ninf: .inf\nno: no\n__proto__: {y: 0x1F}\n1: one\n";
    expect(JSON.stringify(parsed(text).config.json)).toBe(
      '{"1":"one","a":{"x":1},"b":{"x":1},"big":"99999999999999999999","inf":".inf","no":"no","__proto__":{"y":31}}',
    );
    expect(Object.prototype).not.toHaveProperty("y");
    expect(parsed("").config.json).toBeNull();
  });

  it("reads entries in flow style and in JSON", () => {
    expect(idsOf("[{type: generic, url: a.io, generic_secret_name: x}, ]")).toEqual(["a.io"]);
    expect(idsOf('{"container_registries": [{"type": "gar", "gar_creds_secret_name": "x"}]}')).toEqual(["gar"]);
  });

  it("takes the region of an aws entry from its host", () => {
    expect(entriesOf("- {type: aws, url: public.ecr.aws, aws_creds_secret_name: x}")).toMatchObject([
      { region: "us-east-1" },
    ]);
    expect(
      entriesOf("- {type: aws, url: 123456789012.dkr.ecr.us-west-2.amazonaws.com, aws_creds_secret_name: x}"),
    ).toMatchObject([{ region: "us-west-2" }]);
  });

  it("gives an entry without a host an id of what tells it apart", () => {
    expect(
      idsOf(`
- {type: aws, region: us-east-2, aws_creds_secret_name: x}
- {type: aws, region: us-east-2, profile: ci, aws_creds_secret_name: x}
- {type: azure, azure_principal_secret_name: x}
- {type: gar, gar_creds_secret_name: x}
- {type: gar, hosts: [eu.gcr.io, us-docker.pkg.dev], gar_creds_secret_name: x}
- {type: gar, url: GCR.io, gar_creds_secret_name: x}
- {type: generic, url: "index.docker.io", generic_secret_name: x}
`),
    ).toEqual(["aws:us-east-2", "aws:us-east-2:ci", "azure", "gar", "eu.gcr.io", "gcr.io", "docker.io"]);
  });

  it("reads every field", () => {
    expect(
      entriesOf(`
- {type: azure, azure_tenant_id: 6DCA0B0E-0000-4000-8000-000000000001, azure_principal_secret_name: x}
- {type: azure, url: b.azurecr.io, azure_tenant_id: example.onmicrosoft.com, azure_principal_secret_name: x}
- {type: generic, url: "nexus.example.com:5000", passThrough: true, generic_secret_name: x}
`),
    ).toMatchObject([
      { tenantId: "6dca0b0e-0000-4000-8000-000000000001" },
      { tenantId: "example.onmicrosoft.com" },
      { host: "nexus.example.com:5000", passThrough: true },
    ]);
  });
});

describe("warnings", () => {
  it.each([
    [
      "- type: gar\n  gar_creds_secret_name: x\n  Host: gcr.io",
      "line 3, column 3",
      'The key "Host" is not known and is ignored; did you mean hosts?',
    ],
    [
      "- type: gar\n  gar_creds_secret_name: x\n  hunter2: y",
      "line 3, column 3",
      "This key is not known and is ignored.",
    ],
    [
      "- type: generic\n  url: a.io\n  generic_secret_name: x\n  pass_through: true",
      "line 4, column 3",
      'The key "pass_through" is not known and is ignored; did you mean passThrough?',
    ],
    [
      "- type: gar\n  gar_creds_secret_name: x\n  region: us-east-2",
      "line 3, column 3",
      "region means nothing in an entry of type gar.",
    ],
    [
      "- type: generic\n  url: a.azurecr.io\n  generic_secret_name: x",
      "line 2, column 8",
      "This host belongs to a cloud of its own: with type azure its tokens are narrower and better protected.",
    ],
    [
      "- type: aws\n  region: us-east-2\n  aws_creds_secret_name: x\n  profiel: y",
      "line 4, column 3",
      'The key "profiel" is not known and is ignored; did you mean profile?',
    ],
    [
      "lmp:\n  <<: {a: 1}",
      "line 2, column 3",
      "A merge key (<<) is not part of YAML 1.2: it is kept, and read here as a key like any other.",
    ],
    [
      "notify: {webhooks: [{secret_name: 'a b'}]}",
      "line 1, column 35",
      "secret_name is not the name of a secret and is ignored.",
    ],
  ])("of %j", (text, at, reason) => {
    expect(parsed(text).warnings).toEqual([{ at, reason }]);
  });
});
