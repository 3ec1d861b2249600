import { describe, expect, it } from "vitest";
import { problemsOf } from "../../support/factory-config/problems-of.js";

const aws = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
const types = "It must be aws, azure, gar or generic.";
const asName =
  "must be the name of a secret: 1 to 255 letters, digits, _ . and -, the first not . or -. Store the credential with `fioctl secrets update NAME=...` and write its NAME here.";

describe("an entry that is not valid", () => {
  it.each([
    ["- type: azzure", "line 1, column 9", `The type "azzure" is not known; did you mean azure? ${types}`],
    ["- type: AWS", "line 1, column 9", `The type "AWS" is not known; did you mean aws? ${types}`],
    ["- type: ecr", "line 1, column 9", `The type "ecr" is not known; did you mean aws? ${types}`],
    ["- type: dockerhub", "line 1, column 9", `The type "dockerhub" is not known; did you mean generic? ${types}`],
    ["- type: hunter2", "line 1, column 9", `This type is not known. ${types}`],
    ["-\n  url: a.io", "line 2, column 3", `The entry has no type. ${types}`],
    [
      "- typ: aws",
      "line 1, column 3",
      `The entry has no type. ${types} The key "typ" is not known; did you mean type?`,
    ],
    [
      "- type: aws\n  regoin: us-east-2\n  aws_creds_secret_name: x",
      "line 2, column 3",
      'An aws entry needs a region (for example us-east-2), or a url that tells it. The key "regoin" is not known; did you mean region?',
    ],
    ["- type: 1", "line 1, column 9", "type must be text; found a number. Put it in quotes."],
    ["- type:", "line 1, column 3", "type must be text; found nothing."],
    [
      "- type: gar",
      "line 1, column 3",
      "An entry of type gar needs gar_creds_secret_name: the name of the secret that opens the registry. Or gar_workload_identity_provider, where none is needed: docs/keyless.md.",
    ],
    [
      "- type: gar\n  gar_cred_secret_name: x",
      "line 2, column 3",
      'An entry of type gar needs gar_creds_secret_name: the name of the secret that opens the registry. Or gar_workload_identity_provider, where none is needed: docs/keyless.md. The key "gar_cred_secret_name" is not known; did you mean gar_creds_secret_name?',
    ],
    [
      "- type: gar\n  gar_creds_secret_name: 1",
      "line 2, column 26",
      "gar_creds_secret_name must be text; found a number. Put it in quotes.",
    ],
    [
      "- type: gar\n  gar_creds_secret_name: ''",
      "line 2, column 26",
      "gar_creds_secret_name must be text; found empty text.",
    ],
    ["- type: gar\n  gar_creds_secret_name: user:pw", "line 2, column 26", `gar_creds_secret_name ${asName}`],
    ["- type: gar\n  gar_creds_secret_name: ..", "line 2, column 26", `gar_creds_secret_name ${asName}`],
    [
      "- type: gar\n  gar_creds_secret_name: {a: b}",
      "line 2, column 26",
      "gar_creds_secret_name must be text; found a mapping.",
    ],
    [
      "- type: gar\n  gar_creds_secret_name: AKIAIOSFODNN7EXAMPLE",
      "line 2, column 26",
      "gar_creds_secret_name holds what looks like a credential, not the name of a secret. Store the credential with `fioctl secrets update NAME=...` and write its NAME here.",
    ],
    [
      "- type: gar\n  gar_creds_secret_name: x\n  aws_creds_secret_name: y",
      "line 3, column 3",
      "aws_creds_secret_name is for entries of type aws; an entry of type gar names its secret with gar_creds_secret_name.",
    ],
    ["- foo", "line 1, column 3", "An entry must be a mapping with a type; found text."],
    ["-\n", "line 1, column 1", "An entry must be a mapping with a type; found nothing."],
    ["- - type: gar", "line 1, column 3", "An entry must be a mapping with a type; found a list."],
    ["- true", "line 1, column 3", "An entry must be a mapping with a type; found true or false."],
  ])("%j", (text, at, reason) => {
    expect(problemsOf(text)).toEqual([[at, reason]]);
  });

  it.each([
    [
      "aws",
      "region: us-east-2",
      "url: ghcr.io",
      "line 4, column 8",
      "An aws entry is for a host of Amazon ECR: <account>.dkr.ecr.<region>.amazonaws.com or public.ecr.aws. For another, use type generic.",
    ],
    [
      "aws",
      "region: us-east-2",
      `url: ${aws}`,
      "line 3, column 11",
      "The region does not fit the host, which is in us-west-2. Write that, or leave the region out.",
    ],
    [
      "aws",
      "region: us-east-2",
      "url: public.ecr.aws",
      "line 3, column 11",
      "The region does not fit the host, which is in us-east-1. Write that, or leave the region out.",
    ],
    ["aws", "region: 1", "", "line 3, column 11", "region must be text; found a number. Put it in quotes."],
    ["aws", "region: Ohio", "", "line 3, column 11", "An AWS region looks like us-east-2."],
    ["aws", "", "", "line 1, column 3", "An aws entry needs a region (for example us-east-2), or a url that tells it."],
    [
      "aws",
      "region: us-east-2",
      "profile: 'a:b'",
      "line 4, column 12",
      "A profile has letters, digits and _ . @ + - only, at most 128, the first a letter, digit or underscore.",
    ],
    [
      "azure",
      "url: https://example.azurecr.io/v2",
      "",
      "line 3, column 8",
      "Found a scheme and a path. Write the host alone: example.azurecr.io.",
    ],
    [
      "azure",
      "url: example.azurecr.io.evil.example",
      "",
      "line 3, column 8",
      "An azure entry is for a host of Azure Container Registry: <name>.azurecr.io (.cn, .us). For another, use type generic.",
    ],
    [
      "azure",
      "azure_tenant_id: common",
      "",
      "line 3, column 20",
      "A tenant is a UUID or a domain such as example.onmicrosoft.com.",
    ],
    [
      "gar",
      "hosts: [gcr.io, ghcr.io]",
      "",
      "line 3, column 19",
      "A gar entry is for hosts of Google Artifact Registry: <location>-docker.pkg.dev or gcr.io. For another, use type generic.",
    ],
    ["gar", "hosts: [gcr.io, GCR.io]", "", "line 3, column 19", "This host is in the list already."],
    ["gar", "hosts: [gcr.io, 1]", "", "line 3, column 19", "A host must be text; found a number."],
    [
      "gar",
      "hosts: []",
      "",
      "line 3, column 10",
      "The list of hosts is empty. Name a host, or leave the key out for every host.",
    ],
    ["gar", "hosts: gcr.io", "", "line 3, column 10", "hosts must be a list of hosts; found text."],
    [
      "gar",
      "hosts: [gcr.io]",
      "url: eu.gcr.io",
      "line 3, column 10",
      "A gar entry has a url or hosts, not both. Add the url to the hosts.",
    ],
    ["generic", "", "", "line 1, column 3", "A generic entry needs a url: the registry's host, for example ghcr.io."],
    ["generic", "url:", "", "line 3, column 3", "url must be text; found nothing."],
    ["generic", "url: a b", "", "line 3, column 8", "A host has no spaces, tabs or line ends in it."],
    ["generic", "url: a.io", "passThrough: yes", "line 4, column 16", "passThrough must be true or false; found text."],
    [
      "azure",
      "relay: redirect",
      "",
      "line 3, column 10",
      "relay can be stream. Leave it out, and the relay hands on redirects.",
    ],
    ["azure", "relay: true", "", "line 3, column 10", "relay must be text; found true or false. Put it in quotes."],
  ])("of type %s with %s %s", (type, first, second, at, reason) => {
    const key = { aws: "aws_creds", azure: "azure_principal", gar: "gar_creds", generic: "generic" }[type];
    const lines = [
      `- type: ${type}`,
      `  ${key}_secret_name: x`,
      ...[first, second].filter(Boolean).map((line) => `  ${line}`),
    ];
    expect(problemsOf(lines.join("\n"))).toEqual([[at, reason]]);
  });

  it.each([
    [
      "url: ghcr.io",
      "url: GHCR.io:443",
      "The entry at line 1, column 4 is for the same host. Keep one entry for a host.",
    ],
    [
      "url: docker.io",
      "url: registry-1.docker.io",
      "The entry at line 1, column 4 is for the same host. Keep one entry for a host.",
    ],
  ])("refuses a second generic entry: %s and %s", (first, second, reason) => {
    const text = `- {type: generic, generic_secret_name: x, ${first}}\n- {type: generic, generic_secret_name: y, ${second}}\n`;
    expect(problemsOf(text)).toEqual([["line 2, column 3", reason.replace("column 4", "column 3")]]);
  });

  it("refuses two entries that share one of their hosts, or have none and the same id", () => {
    const text = `
- {type: gar, gar_creds_secret_name: x, hosts: [gcr.io, eu.gcr.io]}
- {type: generic, generic_secret_name: y, url: eu.gcr.io}
- {type: azure, azure_principal_secret_name: x}
- {type: azure, azure_principal_secret_name: x}
- {type: aws, aws_creds_secret_name: x, region: us-east-2}
- {type: aws, aws_creds_secret_name: x, region: us-east-2}
`;
    const twin = (at: string, type: string) =>
      `The entry at ${at} is of type ${type} and without a host as well; nothing tells the two apart.`;
    expect(problemsOf(text)).toEqual([
      ["line 3, column 3", "The entry at line 2, column 3 is for the same host. Keep one entry for a host."],
      ["line 5, column 3", `${twin("line 4, column 3", "azure")} Give one a url.`],
      ["line 7, column 3", `${twin("line 6, column 3", "aws")} Give one a url, another region or another profile.`],
    ]);
  });

  it("refuses what the registries routes could not show", () => {
    const hosts = Array.from({ length: 51 }, (_, n) => `us-r${n}-docker.pkg.dev`).join(", ");
    expect(problemsOf(`- {type: gar, gar_creds_secret_name: x, hosts: [${hosts}]}`)).toEqual([
      ["line 1, column 48", "The list has more than 50 hosts. Leave the key out for every host."],
    ]);
    expect(problemsOf(`- {type: aws, aws_creds_secret_name: x, region: us-${"a".repeat(40)}-1}`)).toEqual([
      ["line 1, column 49", "An AWS region looks like us-east-2."],
    ]);
  });

  it("tells all problems at once, from the top downwards", () => {
    const text =
      "- type: aws\n  url: https://x\n  region: 1\n- type: nope\n- type: generic\n  generic_secret_name: 'a b'\n";
    expect(problemsOf(text).map(([at]) => at)).toEqual([
      "line 1, column 3",
      "line 2, column 8",
      "line 3, column 11",
      "line 4, column 9",
      "line 5, column 3",
      "line 6, column 24",
    ]);
  });
});
