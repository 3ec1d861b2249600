import { describe, expect, it } from "vitest";
import { RegistryEntryInput, RegistryEntryView } from "../../../src/factory-config/contract.js";
import { entryFromInput, viewOfEntry } from "../../../src/factory-config/convert-entry.js";

const inputs: RegistryEntryInput[] = [
  { type: "aws", secretName: "x", region: "us-east-2" },
  { type: "aws", secretName: "x", url: "public.ecr.aws", region: "us-east-1", profile: "ci" },
  { type: "azure", secretName: "x" },
  { type: "azure", secretName: "x", url: "a.azurecr.io", azureTenantId: "example.com" },
  { type: "gar", secretName: "x" },
  { type: "gar", secretName: "x", url: "gcr.io" },
  { type: "gar", secretName: "x", hosts: ["eu.gcr.io", "gcr.io"] },
  { type: "generic", secretName: "x", url: "ghcr.io" },
  { type: "generic", secretName: "x", url: "ghcr.io", passThrough: true },
  { type: "generic", secretName: "x", url: "quay.io", relay: "stream" },
  { type: "aws", secretName: "x", region: "us-east-2", relay: "stream" },
];

function entryOf(input: RegistryEntryInput) {
  const result = entryFromInput(RegistryEntryInput.parse(input));
  if (!result.ok) throw new Error(JSON.stringify(result.invalid));
  return result.entry;
}

describe("entryFromInput and viewOfEntry", () => {
  it.each(inputs)("show what was put: %j", (input) => {
    const view = viewOfEntry(entryOf(input));
    expect(RegistryEntryView.parse(view)).toEqual({ id: expect.any(String), ...input });
  });

  it("normalises the host and finds the region in it", () => {
    const url = "123456789012.DKR.ECR.us-west-2.amazonaws.com:443";
    expect(viewOfEntry(entryOf({ type: "aws", secretName: "x", url }))).toEqual({
      id: "123456789012.dkr.ecr.us-west-2.amazonaws.com",
      type: "aws",
      secretName: "x",
      url: "123456789012.dkr.ecr.us-west-2.amazonaws.com",
      region: "us-west-2",
    });
  });

  it("report what does not fit at the field's JSON pointer, all at once", () => {
    expect(
      entryFromInput({ type: "aws", secretName: "AKIAIOSFODNN7EXAMPLE", url: "https://ghcr.io", region: "Ohio" }),
    ).toEqual({
      ok: false,
      invalid: [
        { at: "/url", reason: "Found a scheme. Write the host alone: ghcr.io." },
        { at: "/region", reason: "An AWS region looks like us-east-2." },
        { at: "/secretName", reason: expect.stringContaining("looks like a credential") },
      ],
    });
    expect(entryFromInput({ type: "gar", secretName: "x", hosts: ["gcr.io", "ghcr.io"] })).toMatchObject({
      invalid: [{ at: "/hosts/1" }],
    });
    expect(entryFromInput({ type: "generic", secretName: "x" })).toMatchObject({ invalid: [{ at: "/url" }] });
  });
});

describe("RegistryEntryInput", () => {
  it.each([
    [
      { type: "gar", secretName: "x", region: "us-east-2" },
      ["region"],
      "An entry of type gar has no region. It can have url, hosts, garWorkloadIdentityProvider, garServiceAccount, relay.",
    ],
    [
      { type: "aws", secretName: "x", passThrough: true },
      ["passThrough"],
      "An entry of type aws has no passThrough. It can have url, region, profile, awsRoleArn, relay.",
    ],
  ])("refuses a field of another type: %j", (input, path, message) => {
    expect(RegistryEntryInput.safeParse(input).error?.issues).toMatchObject([{ path, message }]);
  });

  it.each([
    { type: "docker", secretName: "x" },
    { type: "gar", secretName: "a b" },
    { type: "gar", secretName: ".." },
    { type: "gar", secretName: "x", hosts: [] },
    { type: "gar", secretName: "x", id: "gar" },
    { type: "generic", secretName: "x", url: "" },
  ])("refuses %j", (input) => {
    expect(RegistryEntryInput.safeParse(input).success).toBe(false);
  });
});
