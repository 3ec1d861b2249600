import { describe, expect, it } from "vitest";
import { hasPlatform } from "../../../../src/broker/references/check-references.js";
import { parseImageReference } from "../../../../src/broker/references/image-reference.js";

const digest = `sha256:${"0a".repeat(32)}`;

describe("an image reference", () => {
  it.each([
    ["alpine", { host: "docker.io", repository: "library/alpine", tag: "latest" }],
    ["index.docker.io/alpine:3", { host: "docker.io", repository: "library/alpine", tag: "3" }],
    ["acme/app", { host: "docker.io", repository: "acme/app", tag: "latest" }],
    ["ghcr.io/acme/base:1", { host: "ghcr.io", repository: "acme/base", tag: "1" }],
    ["GHCR.io:443/acme/base:1", { host: "ghcr.io", repository: "acme/base", tag: "1" }],
    ["registry.example.com:5000/app", { host: "registry.example.com:5000", repository: "app", tag: "latest" }],
    ["localhost/app:dev", { host: "localhost", repository: "app", tag: "dev" }],
    [`ghcr.io/acme/base@${digest}`, { host: "ghcr.io", repository: "acme/base", digest }],
    [`ghcr.io/acme/base:1@${digest}`, { host: "ghcr.io", repository: "acme/base", tag: "1", digest }],
  ])("%s is read as docker reads it", (text, image) => {
    expect(parseImageReference(text)).toEqual(image);
  });

  it.each([
    "",
    ":1",
    "ghcr.io/",
    "ghcr.io/Acme/base",
    "ghcr.io/acme/base:",
    "ghcr.io/acme/base:a b",
    "ghcr.io/acme/../base",
    "ghcr.io/acme/base@sha256:abc",
    `ghcr.io/acme/base@${digest}@${digest}`,
    "https://ghcr.io/acme/base",
    "ghcr.io/acme/base:1?x=1",
    "-bad.example.com/app",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a variable that nobody has set
    "ghcr.io/${NAME}:1",
  ])("%j is none, and a sentence says why", (text) => {
    expect(parseImageReference(text)).toEqual(expect.stringMatching(/\.$/));
  });
});

describe("platforms", () => {
  it.each([
    [["linux/amd64", "linux/arm64/v8"], "linux/arm64", true],
    [["linux/arm64"], "linux/arm64/v8", true],
    [["linux/arm/v6"], "linux/arm/v7", false],
    [["linux/arm"], "linux/arm/v7", true],
    [["linux/amd64"], "windows/amd64", false],
    [[], "linux/amd64", false],
  ])("%j have %s: %s", (platforms, wanted, has) => {
    expect(hasPlatform(platforms, wanted)).toBe(has);
  });
});
