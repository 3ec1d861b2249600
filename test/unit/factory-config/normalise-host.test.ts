import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { acrHost, cloudOfHost, ecrHost, isGarHost } from "../../../src/core/cloud-hosts.js";
import { normaliseHost } from "../../../src/core/normalise-host.js";

describe("normaliseHost", () => {
  it.each([
    ["ghcr.io", "ghcr.io"],
    ["GHCR.io", "ghcr.io"],
    ["ghcr.io.", "ghcr.io"],
    ["ghcr.io:443", "ghcr.io"],
    ["GHCR.IO.:443", "ghcr.io"],
    ["registry.example.com:5000", "registry.example.com:5000"],
    ["localhost:5000", "localhost:5000"],
    ["127.0.0.1:5000", "127.0.0.1:5000"],
    ["xn--mnchen-3ya.example", "xn--mnchen-3ya.example"],
    ["docker.io", "docker.io"],
    ["index.docker.io", "docker.io"],
    ["registry-1.docker.io", "docker.io"],
    ["Registry-1.Docker.io:443", "docker.io"],
    ["https://index.docker.io/v1/", "docker.io"],
    ["https://index.docker.io/v1", "docker.io"],
    ["docker.io:5000", "docker.io:5000"],
  ])("writes %s as %s", (input, host) => {
    expect(normaliseHost(input)).toEqual({ ok: true, host });
  });

  it.each([
    ["", "The host is empty."],
    ["ghcr.io ", "A host has no spaces, tabs or line ends in it."],
    ["gh\ncr.io", "A host has no spaces, tabs or line ends in it."],
    ["gh\u0000cr.io", "A host has no spaces, tabs or line ends in it."],
    ["https://ghcr.io", "Found a scheme. Write the host alone: ghcr.io."],
    ["ghcr.io/acme/app", "Found a path. Write the host alone: ghcr.io."],
    ["https://GHCR.io/v2/?a=b#c", "Found a scheme and a path. Write the host alone: ghcr.io."],
    ["ghcr.io\\acme", "Found a path. Write the host alone: ghcr.io."],
    ["user:password@ghcr.io", "Found a user name or password. Write the host alone: ghcr.io."],
    ["https://user:pass@word", "Found a scheme and a user name or password. Write the host alone."],
    ["münchen.example", "A host has ASCII letters only. Write an international name in its xn-- form."],
    ["ｇhcr.io", "A host has ASCII letters only. Write an international name in its xn-- form."],
    ["[::1]:5000", "An IPv6 address cannot be a registry host. Write a host name."],
    ["fe80::1", "An IPv6 address cannot be a registry host. Write a host name."],
    ["ghcr.io:", "The part after the colon must be a port, a number from 1 to 65535."],
    ["ghcr.io:0", "The part after the colon must be a port, a number from 1 to 65535."],
    ["ghcr.io:0443", "The part after the colon must be a port, a number from 1 to 65535."],
    ["ghcr.io:65536", "The part after the colon must be a port, a number from 1 to 65535."],
    ["user:password", "The part after the colon must be a port, a number from 1 to 65535."],
    [".", "The host is empty."],
    [`${"a".repeat(60)}.`.repeat(5), "A host has at most 253 characters."],
  ])("refuses %j", (input, reason) => {
    expect(normaliseHost(input)).toEqual({ ok: false, reason });
  });

  it.each(["a..b", "ghcr.io..", "-a.io", "a-.io", "a_b.io", `${"a".repeat(64)}.io`, "*.example.com", "a,b", "%61.io"])(
    "refuses the labels of %j",
    (input) => {
      expect(normaliseHost(input)).toMatchObject({ ok: false, reason: expect.stringMatching(/^A host is made of/) });
    },
  );

  it.each([
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0x7f000001",
    "127.0.0.01",
    "256.1.1.1",
    "1.2.3.4.5",
    "example.123",
    "a.0x",
  ])("refuses %s, another spelling of an address", (input) => {
    expect(normaliseHost(input)).toMatchObject({ ok: false, reason: expect.stringMatching(/ends in a number/) });
  });

  it.each(["xn--a.example", "registry.xn--0.example", "xn--example"])(
    "refuses %s where no URL can have it in it: Node 20 does not, Node 24 does",
    (input) => {
      const isRefused = !URL.canParse(`https://${input}`);
      const refusal = { ok: false, reason: expect.stringMatching(/xn--/) };
      expect(normaliseHost(input)).toMatchObject(isRefused ? refusal : { ok: true });
    },
  );

  it("gives hosts that URLs have as they are", () => {
    const punycode = fc.stringMatching(/^xn--[a-z0-9-]{1,20}\.example$/);
    fc.assert(
      fc.property(fc.oneof(fc.domain(), fc.ipV4(), punycode), (input) => {
        const result = normaliseHost(input);
        if (result.ok) expect(new URL(`https://${result.host}/`).host).toBe(result.host);
      }),
      { numRuns: 500 },
    );
  });

  it("gives a host that it leaves as it is, and never throws", () => {
    const hostish = fc.stringMatching(/^[A-Za-z0-9.:/@[\]-]{0,40}$/);
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), hostish, fc.domain(), fc.webUrl()), (input) => {
        const first = normaliseHost(input);
        if (first.ok) expect(normaliseHost(first.host)).toEqual(first);
      }),
      { numRuns: 500 },
    );
  });
});

describe("the hosts of the clouds", () => {
  it.each([
    ["123456789012.dkr.ecr.us-east-2.amazonaws.com", "us-east-2", "aws", false],
    ["123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "aws-us-gov", true],
    ["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", "aws-cn", false],
    ["123456789012.dkr-ecr.eu-central-1.on.aws", "eu-central-1", "aws", false],
    ["123456789012.dkr-ecr-fips.us-east-1.on.aws", "us-east-1", "aws", true],
    ["123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", "aws-cn", false],
    ["123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", "aws-eusc", false],
    ["123456789012.dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu", "eusc-de-east-1", "aws-eusc", false],
    ["123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", "aws-iso", false],
    ["123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", "aws-iso-b", false],
    ["123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", "aws-iso-e", false],
    ["123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", "aws-iso-f", false],
    ["123456789012.dkr.ecr.us-west-9.amazonaws.com", "us-west-9", "aws", false],
  ])("reads %s", (host, region, partition, fips) => {
    expect(ecrHost(host)).toEqual({ public: false, account: "123456789012", region, partition, fips });
    expect(cloudOfHost(host)).toBe("aws");
  });

  it.each(["public.ecr.aws", "ecr-public.aws.com"])("knows ECR Public as %s", (host) => {
    expect(ecrHost(host)).toEqual({ public: true, region: "us-east-1", partition: "aws", fips: false });
  });

  it.each([
    "12345678901.dkr.ecr.us-east-2.amazonaws.com",
    "123456789012.dkr.ecr.us-east-2.amazonaws.com.evil.example",
    "123456789012.dkr.ecr.us-east-2.amazonaws.com:5000",
    "evil.123456789012.dkr.ecr.us-east-2.amazonaws.com",
    "123456789012.dkr.ecr.cn-north-1.amazonaws.com",
    "123456789012.dkr.ecr.us-east-2.amazonaws.com.cn",
    "123456789012.dkr-ecr.cn-north-1.on.aws",
    "123456789012.dkr.ecr.evil.amazonaws.com",
    "x.public.ecr.aws",
    "x.ecr-public.aws.com",
    "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.com",
    "123456789012.dkr.ecr.us-east-2.amazonaws.eu",
    "123456789012.dkr.ecr.us-iso-east-1.sc2s.sgov.gov",
    "123456789012.dkr-ecr.us-east-2.amazonaws.com",
    "123456789012.dkr.ecr.us-east-2.on.aws",
    "api.ecr.us-east-2.amazonaws.com",
  ])("does not take %s for one of ECR's", (host) => {
    expect(ecrHost(host)).toBeUndefined();
  });

  it.each([
    ["example.azurecr.io", { name: "example", cloud: "public" }],
    ["my-name-a1b2c3.azurecr.io", { name: "my-name-a1b2c3", cloud: "public" }],
    ["example.azurecr.cn", { name: "example", cloud: "china" }],
    ["example.azurecr.us", { name: "example", cloud: "us-government" }],
    ["example.eastus.geo.azurecr.io", { name: "example", cloud: "public" }],
    ["example.chinaeast2.geo.azurecr.cn", { name: "example", cloud: "china" }],
    ["example.eastus.data.azurecr.io", undefined],
    ["example.privatelink.azurecr.io", undefined],
    ["eastus.geo.azurecr.io", undefined],
    ["geo.azurecr.io", undefined],
    ["azurecr.io", undefined],
    ["a.b.azurecr.io", undefined],
    ["-a.azurecr.io", undefined],
    ["example.azurecr.io.evil.example", undefined],
    ["exampleazurecr.io", undefined],
    ["example.azurecr.de", undefined],
  ])("reads %s as ACR's or not", (host, expected) => {
    expect(acrHost(host)).toEqual(expected);
  });

  it.each([
    ["us-docker.pkg.dev", true],
    ["us-central1-docker.pkg.dev", true],
    ["northamerica-northeast1-docker.pkg.dev", true],
    ["docker.us-central1.rep.pkg.dev", true],
    ["gcr.io", true],
    ["eu.gcr.io", true],
    ["k8s.gcr.io", false],
    ["docker.pkg.dev", false],
    ["evil.us-docker.pkg.dev", false],
    ["us-docker.pkg.dev.evil.example", false],
    ["xgcr.io", false],
  ])("reads %s as GAR's or not", (host, expected) => {
    expect(isGarHost(host)).toBe(expected);
  });
});
