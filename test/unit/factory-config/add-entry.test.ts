import { describe, expect, it } from "vitest";
import { addEntry } from "../../../src/factory-config/edit-entries.js";
import type { RegistryEntry } from "../../../src/factory-config/entry.js";
import { acr, asFlow, asLines, ecr, ecrHost, ghcr, problemOf } from "./edited-entries.js";

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
