import { describe, expect, it } from "vitest";
import { parseDocument } from "../../../src/factory-config/parse-document.js";
import { problemsOf } from "../../support/factory-config/problems-of.js";

const secretOf = {
  aws: "aws_creds_secret_name",
  azure: "azure_principal_secret_name",
  gar: "gar_creds_secret_name",
  generic: "generic_secret_name",
} as const;

const documentOf = (type: keyof typeof secretOf, more: string): string =>
  `container_registries:\n- type: ${type}\n  ${secretOf[type]}: creds\n  ${more}\n`;

function warningsOf(source: string): [string, string][] {
  const result = parseDocument(source);
  return result.ok ? result.warnings.map(({ at, reason }) => [at, reason]) : [["refused", ""]];
}

describe("a host that is not a registry", () => {
  it.each([
    ["aws", "api.ecr.us-east-2.amazonaws.com", "<account>.dkr.ecr.us-east-2.amazonaws.com."],
    ["aws", "ecr.eusc-de-east-1.api.amazonwebservices.eu", "<account>.dkr.ecr.eusc-de-east-1.amazonaws.eu."],
    ["aws", "gallery.ecr.aws", "Write public.ecr.aws."],
    ["aws", "api.ecr-public.us-east-1.amazonaws.com", "Write public.ecr.aws."],
    ["aws", "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.com", "<account>.dkr.ecr.eusc-de-east-1.amazonaws.eu, or"],
    ["azure", "example.eastus.data.azurecr.io", "Write the login server: example.azurecr.io."],
    ["azure", "example.privatelink.azurecr.us", "Write the login server: example.azurecr.us."],
    ["azure", "example.azurecr.de", "closed in 2021"],
    ["gar", "us-central1-python.pkg.dev", "The registry for images is us-central1-docker.pkg.dev."],
  ] as const)("is refused in an entry of type %s, and the sentence for %s names the right one", (type, url, meant) => {
    expect(problemsOf(documentOf(type, `url: ${url}`))).toEqual([["line 4, column 8", expect.stringContaining(meant)]]);
    // As generic it was taken before: one entry of a stored document must not end all the others.
    expect(warningsOf(documentOf("generic", `url: ${url}`))).toEqual([
      ["line 4, column 8", expect.stringContaining(meant)],
    ]);
  });

  it.each([
    ["hub.docker.com", "Write docker.io."],
    ["registry.hub.docker.com", "Write docker.io."],
    ["github.com", "Write ghcr.io."],
    ["docker.pkg.github.com", "Write ghcr.io."],
    ["gitlab.com", "Write registry.gitlab.com."],
    ["ecr-public.aws.com", "with type aws"],
    ["example.eastus.geo.azurecr.io", "with type azure"],
    ["123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "with type aws"],
  ])("makes a warning in a generic entry: %s", (url, meant) => {
    expect(warningsOf(documentOf("generic", `url: ${url}`))).toEqual([
      ["line 4, column 8", expect.stringContaining(meant)],
    ]);
  });

  it.each(["ghcr.io", "docker.io", "registry.gitlab.com", "mirror.gcr.io", "registry.example.com:5000"])(
    "is not seen in %s",
    (url) => {
      expect(warningsOf(documentOf("generic", `url: ${url}`))).toEqual([]);
    },
  );
});

describe("an AWS region", () => {
  it.each([
    ["us-east-22", 'The AWS region "us-east-22" is not known; did you mean us-east-2?'],
    ["us-est-1", 'The AWS region "us-est-1" is not known; did you mean us-east-1?'],
    ["eusc-de-east-2", 'The AWS region "eusc-de-east-2" is not known; did you mean eusc-de-east-1?'],
    ["qq-nowhere-7", "The AWS region is not known."],
  ])("that is not known makes a warning with the nearest one: %s", (region, reason) => {
    const warning = `${reason} If AWS has opened it recently, keep it.`;
    expect(warningsOf(documentOf("aws", `region: ${region}`))).toEqual([["line 4, column 11", warning]]);
    const { host } = { host: `123456789012.dkr.ecr.${region}.amazonaws.${region.startsWith("eusc") ? "eu" : "com"}` };
    expect(warningsOf(documentOf("aws", `url: ${host}`))).toEqual([["line 4, column 8", warning]]);
    expect(warningsOf(documentOf("aws", `url: ${host}\n  region: ${region}`))).toEqual([
      ["line 5, column 11", warning],
    ]);
  });

  it.each([
    ["US-East-2", "An AWS region looks like us-east-2. Did you mean us-east-2?"],
    ["eu-central-1a", "An AWS region looks like us-east-2. Did you mean eu-central-1?"],
    ["nowhere", "An AWS region looks like us-east-2."],
  ])("that has not the form of one is refused with the nearest one: %s", (region, reason) => {
    expect(problemsOf(documentOf("aws", `region: ${region}`))).toEqual([["line 4, column 11", reason]]);
  });

  it("of every partition is taken without a word", () => {
    for (const region of ["eusc-de-east-1", "us-iso-west-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1"])
      expect(warningsOf(documentOf("aws", `region: ${region}`))).toEqual([]);
  });

  it.each([
    ["eusc-de-east-1", "aws-eusc"],
    ["us-iso-east-1", "aws-iso"],
    ["us-isob-east-1", "aws-iso-b"],
    ["eu-isoe-west-1", "aws-iso-e"],
    ["us-isof-east-1", "aws-iso-f"],
  ])("takes a role of its own partition, and no other: %s", (region, partition) => {
    const entry = (id: string) =>
      `container_registries:\n- type: aws\n  region: ${region}\n  aws_role_arn: arn:${id}:iam::123456789012:role/pull\n`;
    expect(warningsOf(entry(partition))).toEqual([]);
    expect(problemsOf(entry("aws"))).toEqual([[expect.any(String), expect.stringContaining(`is of ${partition}.`)]]);
  });
});
