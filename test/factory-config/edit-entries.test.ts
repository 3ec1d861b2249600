import { describe, expect, it } from "vitest";
import { addEntry, removeEntry, replaceEntry } from "../../src/factory-config/edit-entries.js";
import type { RegistryEntry } from "../../src/factory-config/entry.js";
import { Problem } from "../../src/http/problem.js";

const ghcr: RegistryEntry = {
  id: "ghcr.io",
  type: "generic",
  host: "ghcr.io",
  secretName: "ghcr_creds",
  passThrough: false,
};
const acr: RegistryEntry = { id: "a.azurecr.io", type: "azure", host: "a.azurecr.io", secretName: "azprincipal" };
const ecrHost = "123456789012.dkr.ecr.us-east-2.amazonaws.com";
const ecr: RegistryEntry = { id: ecrHost, type: "aws", host: ecrHost, region: "us-east-2", secretName: "aws_creds" };
const asLines = "- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n";
const asFlow = "{ type: generic, url: ghcr.io, generic_secret_name: ghcr_creds }";

function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("Nothing was refused");
}

describe("addEntry", () => {
  it.each([
    ["nothing", "", `container_registries:\n${asLines}`],
    ["comments only", "# ours\n", `# ours\ncontainer_registries:\n${asLines}`],
    ["a comment without a line end", "# ours", `# ours\ncontainer_registries:\n${asLines.trimEnd()}`],
    ["a marker", "---\n", `---\ncontainer_registries:\n${asLines}`],
    ["a marker and an end", "--- # x\n...\n", `--- # x\ncontainer_registries:\n${asLines}...\n`],
    ["no such key", "lmp: {}\n", `lmp: {}\ncontainer_registries:\n${asLines}`],
    ["no such key, no line end", "lmp: {}", `lmp: {}\ncontainer_registries:\n${asLines.trimEnd()}`],
    ["no such key, an end marker", "lmp: {}\n# c\n...\n", `lmp: {}\ncontainer_registries:\n${asLines}# c\n...\n`],
    ["a block text at the end", "lmp: |+\n  foo\n\n", `lmp: |+\n  foo\n\ncontainer_registries:\n${asLines}`],
    ["an empty key", "container_registries:\nlmp: {}\n", `container_registries:\n${asLines}lmp: {}\n`],
    [
      "an empty key with comments",
      "container_registries: # a\n  # b\n# c\n",
      `container_registries: # a\n  # b\n${asLines}# c\n`,
    ],
    ["null", "container_registries: null # none\nlmp: {}\n", `container_registries: # none\n${asLines}lmp: {}\n`],
    ["[]", "container_registries: []\nlmp: {}\n", `container_registries:\n${asLines}lmp: {}\n`],
    ["[] with a comment", "container_registries: [] # none", `container_registries: # none\n${asLines.trimEnd()}`],
    ["[] below its key", "container_registries:\n  []\nlmp: {}\n", `container_registries:\n${asLines}lmp: {}\n`],
    [
      "[] with a comment inside",
      "container_registries: [ # none\n ]\n",
      `container_registries: [${asFlow} # none\n ]\n`,
    ],
    ["[] alone", "[]\n", '[{"type": "generic", "url": "ghcr.io", "generic_secret_name": "ghcr_creds"}]\n'],
    ["[] alone with a comment", "# x\n[]\n", `# x\n${asLines}`],
    ["a marker before []", "--- []\n", `--- [${asFlow}]\n`],
    [
      "{}",
      "{}",
      '{"container_registries": [{"type": "generic", "url": "ghcr.io", "generic_secret_name": "ghcr_creds"}]}',
    ],
    [
      "braces",
      "{lmp: x}",
      "{lmp: x, container_registries: [{type: generic, url: ghcr.io, generic_secret_name: ghcr_creds}]}",
    ],
    ["braces with an empty key", "{container_registries: }", `{container_registries: [${asFlow}] }`],
    ["braces with a bare key", "{container_registries}", `{container_registries: [${asFlow}]}`],
  ])("to a document of %s", (_, text, expected) => {
    expect(addEntry(text, ghcr)).toBe(expected);
  });

  it("puts it behind the others and in their style, comments of the last one included", () => {
    const text =
      "container_registries:\r\n  -   type: gar # g\r\n      gar_creds_secret_name: x # s\r\n      # of gar\r\n\r\n# lmp\r\nlmp: {}\r\n";
    expect(addEntry(text, ghcr)).toBe(
      text.replace(
        "# of gar",
        "# of gar\r\n  -   type: generic\r\n      url: ghcr.io\r\n      generic_secret_name: ghcr_creds",
      ),
    );
  });

  it("puts it between the brackets of the others", () => {
    const one = "a: 1\ncontainer_registries: [{type: gar, gar_creds_secret_name: x}] # c\n";
    expect(addEntry(one, ghcr)).toBe(
      "a: 1\ncontainer_registries: [{type: gar, gar_creds_secret_name: x}, {type: generic, url: ghcr.io, generic_secret_name: ghcr_creds}] # c\n",
    );
    const two =
      '[\n  {"type": "gar", "gar_creds_secret_name": "x"},\n  {"type": "azure", "azure_principal_secret_name": "x"}\n]\n';
    expect(addEntry(two, ghcr)).toBe(
      two.replace('"x"}\n]', '"x"},\n  {"type": "generic", "url": "ghcr.io", "generic_secret_name": "ghcr_creds"}\n]'),
    );
  });

  it("keeps braces for the items of a block whose items have them", () => {
    expect(addEntry("- {type: gar, gar_creds_secret_name: x}", ghcr)).toBe(
      "- {type: gar, gar_creds_secret_name: x}\n- {type: generic, url: ghcr.io, generic_secret_name: ghcr_creds}",
    );
  });

  it("puts it before the others where the last one owns the blank lines after it", () => {
    const text = "- type: gar\n  gar_creds_secret_name: x\n  note: |+\n    kept\n\n\n";
    expect(addEntry(text, ghcr)).toBe(asLines + text);
  });

  it("keeps the byte order mark", () => {
    expect(addEntry("\uFEFF- type: gar\n  gar_creds_secret_name: x\n", ghcr)).toBe(
      `\uFEFF- type: gar\n  gar_creds_secret_name: x\n${asLines}`,
    );
    expect(addEntry("\uFEFF", ghcr)).toBe(`\uFEFFcontainer_registries:\n${asLines}`);
  });

  it("writes every field, quoted where YAML would read something else", () => {
    const entries: RegistryEntry[] = [
      { ...ecr, profile: "no" },
      { ...acr, tenantId: "example.com", secretName: "123" },
      { id: "gcr.io", type: "gar", hosts: ["gcr.io", "eu.gcr.io"], secretName: "0x1F" },
      { id: "10.0.0.1:5000", type: "generic", host: "10.0.0.1:5000", passThrough: true, secretName: "1_000" },
      { id: "1e3", type: "generic", host: "1e3", passThrough: false, secretName: "2024-01-01" },
    ];
    expect(entries.reduce(addEntry, "")).toBe(`container_registries:
- type: aws
  region: us-east-2
  url: ${ecrHost}
  aws_creds_secret_name: aws_creds
  profile: "no"
- type: azure
  url: a.azurecr.io
  azure_principal_secret_name: "123"
  azure_tenant_id: example.com
- type: gar
  hosts: [gcr.io, eu.gcr.io]
  gar_creds_secret_name: "0x1F"
- type: generic
  url: 10.0.0.1:5000
  generic_secret_name: "1_000"
  passThrough: true
- type: generic
  url: "1e3"
  generic_secret_name: "2024-01-01"
`);
  });

  it("refuses an entry for a host that has one, and says where that is", () => {
    const text = "- {type: gar, hosts: [gcr.io, eu.gcr.io], gar_creds_secret_name: x}\n";
    const problem = problemOf(() => addEntry(text, { ...ghcr, id: "eu.gcr.io", host: "eu.gcr.io" }));
    expect(problem).toMatchObject({ code: "already-exists", detail: expect.stringContaining("line 1, column 3") });
  });

  it("refuses a document that is not valid, with what is wrong", () => {
    const problem = problemOf(() => addEntry("- type: nope\n", ghcr));
    expect(problem).toMatchObject({ code: "invalid-config", invalid: [{ at: "line 1, column 9" }] });
  });

  it("refuses what would make the document too large", () => {
    const problem = problemOf(() => addEntry(`#${"x".repeat(256 * 1024 - 2)}\n`, ghcr));
    expect(problem).toMatchObject({ code: "invalid-config", detail: expect.stringContaining("256 KiB") });
  });
});

describe("removeEntry", () => {
  const two =
    "# top\ncontainer_registries:\n# first\n- type: gar # g\n  # inside\n  gar_creds_secret_name: x # s\n# second\n- type: azure\n  azure_principal_secret_name: y\n\nlmp: {}\n";

  it("takes the lines of an entry and leaves the comments around it", () => {
    expect(removeEntry(two, "gar")).toBe(
      "# top\ncontainer_registries:\n# first\n# second\n- type: azure\n  azure_principal_secret_name: y\n\nlmp: {}\n",
    );
    expect(removeEntry(two, "azure")).toBe(
      "# top\ncontainer_registries:\n# first\n- type: gar # g\n  # inside\n  gar_creds_secret_name: x # s\n# second\n\nlmp: {}\n",
    );
  });

  it.each([
    [
      "container_registries:\n- type: gar\n  gar_creds_secret_name: x\nlmp: {}\n",
      "container_registries:\n  []\nlmp: {}\n",
    ],
    ["container_registries:\n    - type: gar\n      gar_creds_secret_name: x # c\n", "container_registries:\n    []\n"],
    ["- type: gar\n  gar_creds_secret_name: x", "[]"],
    ["\uFEFF# a\n- {type: gar, gar_creds_secret_name: x}\n# b\n", "\uFEFF# a\n[]\n# b\n"],
    ["? container_registries\n: - type: gar\n    gar_creds_secret_name: x\n", "? container_registries\n: []\n"],
    [
      "? container_registries\n: - type: gar\n    gar_creds_secret_name: x\n  # c\n  - {type: azure, azure_principal_secret_name: y}\n",
      "? container_registries\n: # c\n  - {type: azure, azure_principal_secret_name: y}\n",
    ],
    ["[{type: gar, gar_creds_secret_name: x}]", "[]"],
    ["[ {type: gar, gar_creds_secret_name: x}, ]", "[ ]"],
    [
      "[{type: gar, gar_creds_secret_name: x}, {type: azure, azure_principal_secret_name: y}]",
      "[{type: azure, azure_principal_secret_name: y}]",
    ],
    [
      "[{type: azure, azure_principal_secret_name: y}, {type: gar, gar_creds_secret_name: x}]",
      "[{type: azure, azure_principal_secret_name: y}]",
    ],
    [
      "[\n  {type: azure, azure_principal_secret_name: y}, # y\n  {type: gar, gar_creds_secret_name: x} # x\n]\n",
      "[\n  {type: azure, azure_principal_secret_name: y} # y\n]\n",
    ],
    [
      "[\n  {type: gar, gar_creds_secret_name: x}, # x\n  # y\n  {type: azure, azure_principal_secret_name: y}\n]\n",
      "[\n  # y\n  {type: azure, azure_principal_secret_name: y}\n]\n",
    ],
    [
      '{"container_registries": [\n  {"type": "azure", "azure_principal_secret_name": "y"},\n  {"type": "gar", "gar_creds_secret_name": "x"}\n]}',
      '{"container_registries": [\n  {"type": "azure", "azure_principal_secret_name": "y"}\n]}',
    ],
  ])("makes of %j", (text, expected) => {
    expect(removeEntry(text, "gar")).toBe(expected);
  });

  it("refuses an id that no entry has", () => {
    expect(problemOf(() => removeEntry(two, "aws:us-east-2"))).toMatchObject({ code: "not-found" });
  });
});

describe("replaceEntry", () => {
  const text = `container_registries:
# before
- type: generic   # t
  url: quay.io    # u
  # a note of ours
  owner: {team: [a, b]}   # o
  generic_secret_name: 'old'   # s
# after
- {type: gar, gar_creds_secret_name: x}
`;

  it("changes the values and nothing else", () => {
    expect(replaceEntry(text, "quay.io", ghcr)).toBe(
      text.replace("quay.io ", "ghcr.io ").replace("'old'", "ghcr_creds"),
    );
  });

  it("leaves a text as it is that says the same already", () => {
    expect(replaceEntry("- {type: generic, url: 'GHCR.io', generic_secret_name: ghcr_creds}", "ghcr.io", ghcr)).toBe(
      "- {type: generic, url: 'GHCR.io', generic_secret_name: ghcr_creds}",
    );
  });

  it("moves an entry to another type, its own keys and comments kept", () => {
    expect(replaceEntry(text, "quay.io", ecr)).toBe(
      text
        .replace("type: generic", "type: aws")
        .replace("quay.io ", `${ecrHost} `)
        .replace("  generic_secret_name: 'old'   # s\n", "")
        .replace("  # u\n", "  # u\n  aws_creds_secret_name: aws_creds\n"),
    );
  });

  it("adds keys below the others, with CRLF where the document has it", () => {
    const crlf = "- type: aws\r\n  url: public.ecr.aws # p\r\n  aws_creds_secret_name: x\r\n  note: 1\r\n";
    const entry: RegistryEntry = {
      id: "public.ecr.aws",
      type: "aws",
      host: "public.ecr.aws",
      region: "us-east-1",
      profile: "ci",
      secretName: "x",
    };
    expect(replaceEntry(crlf, "public.ecr.aws", entry)).toBe(crlf.replace("x\r\n", "x\r\n  profile: ci\r\n"));
  });

  it.each([
    [
      "the first key, which shares its line with the dash",
      "- azure_tenant_id: example.com # t\n  type: azure\n  azure_principal_secret_name: azprincipal\n  url: a.azurecr.io\n",
      "- type: azure\n  azure_principal_secret_name: azprincipal\n  url: a.azurecr.io\n",
    ],
    [
      "a key between braces",
      "- {type: azure, azure_tenant_id: example.com, x: [1], url: a.azurecr.io, azure_principal_secret_name: azprincipal} # c\n",
      "- {type: azure, url: a.azurecr.io, azure_principal_secret_name: azprincipal, x: [1]} # c\n",
    ],
    [
      "a key with a question mark",
      "-\n  ? type\n  : azure\n  ? azure_tenant_id\n  : example.com\n  azure_principal_secret_name: azprincipal\n  url: a.azurecr.io\n",
      "-\n  ? type\n  : azure\n  azure_principal_secret_name: azprincipal\n  url: a.azurecr.io\n",
    ],
    [
      "a key apart from its question mark, by writing the entry anew",
      "-\n  type: azure\n  ? # t\n    azure_tenant_id\n  : example.com\n  azure_principal_secret_name: azprincipal\n  x: {y: 1.5}\n  url: a.azurecr.io # u\n",
      '-\n  type: azure\n  url: a.azurecr.io\n  azure_principal_secret_name: azprincipal\n  x: {"y":1.5} # u\n',
    ],
  ])("removes %s", (_, before, after) => {
    expect(replaceEntry(before, "a.azurecr.io", acr)).toBe(after);
  });

  it("writes hosts as a list, in the place of a block of them", () => {
    const hosts = "- type: gar\n  hosts:\n  - gcr.io # g\n  - eu.gcr.io\n  gar_creds_secret_name: x\n";
    const entry: RegistryEntry = { id: "us.gcr.io", type: "gar", hosts: ["us.gcr.io", "gcr.io"], secretName: "x" };
    expect(replaceEntry(hosts, "gcr.io", entry)).toBe(
      "- type: gar\n  hosts: [us.gcr.io, gcr.io]\n  gar_creds_secret_name: x\n",
    );
  });

  it("writes JSON into a JSON document", () => {
    const json = '[{"type": "azure", "azure_principal_secret_name": "old"}]';
    expect(replaceEntry(json, "azure", acr)).toBe(
      '[{"type": "azure", "azure_principal_secret_name": "azprincipal", "url": "a.azurecr.io"}]',
    );
  });

  it("refuses the host of another entry, and an id that no entry has", () => {
    expect(problemOf(() => replaceEntry(text, "gar", { ...ghcr, id: "quay.io", host: "quay.io" })).code).toBe(
      "already-exists",
    );
    expect(problemOf(() => replaceEntry(text, "ghcr.io", ghcr)).code).toBe("not-found");
  });
});
