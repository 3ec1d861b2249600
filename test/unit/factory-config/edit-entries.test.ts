import { describe, expect, it } from "vitest";
import { removeEntry, replaceEntry } from "../../../src/factory-config/edit-entries.js";
import type { RegistryEntry } from "../../../src/factory-config/entry.js";
import { acr, ecr, ecrHost, ghcr, problemOf } from "./edited-entries.js";

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
