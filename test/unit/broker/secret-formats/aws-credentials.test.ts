import { describe, expect, it } from "vitest";
import { parseAwsCredentials, resolveAwsProfile } from "../../../../src/broker/providers/aws/credentials-file.js";

const keys = "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key=not-a-real-secret-1\n";
const expectedKeys = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "not-a-real-secret-1" };
const role = (name: string) => `role_arn = arn:aws:iam::123456789012:role/${name}\n`;

function identity(text: string, profile = "default") {
  const profiles = parseAwsCredentials(text);
  return profiles.ok ? resolveAwsProfile(profiles.value, profile) : profiles;
}

describe("parseAwsCredentials", () => {
  it.each([
    ["as aws configure writes it", `[default]\n${keys}`],
    [
      "with comments, blank lines, a region and CRLF",
      `# mine\r\n\r\n[default]\r\n; note\r\nregion = us-east-2\r\n${keys.replaceAll("\n", "\r\n")}`,
    ],
    ["without a line end at the end", `[default]\n${keys}`.trimEnd()],
  ])("reads keys %s", (_what, text) => {
    expect(identity(text)).toEqual({ ok: true, value: { keys: expectedKeys, roles: [] } });
  });

  it("reads several profiles and a session token", () => {
    const text = `[default]\n${keys}[ci]\n${keys}aws_session_token = not-a-real-session-token\n`;
    expect(identity(text, "ci")).toMatchObject({ value: { keys: { sessionToken: "not-a-real-session-token" } } });
  });

  it.each([
    "credential_process",
    "credential_source",
    "web_identity_token_file",
    "endpoint_url",
    "sso_start_url",
    "sso_session",
    "sso_account_id",
    "ca_bundle",
    "mfa_serial",
    "services",
  ])("refuses %s by name, with its line, in any profile", (key) => {
    const result = parseAwsCredentials(`[default]\n${keys}[other]\n${keys}${key} = not-a-real-value\n`);
    expect(result).toEqual({ ok: false, mistakes: [expect.stringContaining(`Line 7: ${key} is not allowed`)] });
    expect(JSON.stringify(result)).not.toContain("not-a-real-value");
  });

  it.each([
    ["an inline comment", `[default]\n${keys}region = us-east-2 # mine\n`, "Line 4: a comment after a value"],
    ["a colon", `[default]\n${keys}region: us-east-2\n`, "Line 4: it has no equals sign"],
    ["a colon before an equals sign", `[default]\n${keys}region: a=b\n`, "Line 4: region is followed by a colon"],
    ["an indented line", `[default]\n${keys}  region = us-east-2\n`, "Line 4: it is indented"],
    ["an upper-case key", `[default]\n${keys}Region = us-east-2\n`, "Line 4: region must be written in lower case"],
    ["quotes", `[default]\n${keys}region = "us-east-2"\n`, "Line 4: the quotes"],
    ["an empty value", `[default]\n${keys}region =\n`, "Line 4: region has no value"],
    ["a duplicate key", `[default]\n${keys}${keys}`, "Line 4: aws_access_key_id appears twice"],
    ["a duplicate profile", `[default]\n${keys}[default]\n${keys}`, "Line 4: profile [default] appears twice"],
    ["a lone carriage return", `[default]\r${keys}`, "Its lines end in carriage returns alone"],
    ["a key before any profile", keys, "Line 1: this line is outside any profile"],
    ["[profile x]", `[profile default]\n${keys}`, "Line 1: write [name] instead"],
    ["text after a section", `[default] # x\n${keys}`, "Line 1: it is not the head of a profile"],
    ["a space in a section", `[ default ]\n${keys}`, "Line 1: it is not the head"],
    ["half of the keys", "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n", "Line 1: this profile needs both"],
    ["a malformed key id", `[default]\n${keys.replace("AKIA", "akia")}`, "Line 2: the value of aws_access_key_id"],
    ["a role without source", `[default]\n${role("x")}`, "Line 1: this profile has role_arn but no source_profile"],
    ["an empty file", "", "It holds no profile"],
    ["another file", '{"type": "service_account"}', "It is JSON, and a credentials file is needed"],
    ["NUL", `[default]\n${keys}region = us\u0000east\n`, "Line 4: it holds a character"],
  ])("refuses %s, which AWS programs do not read alike", (_what, text, sentence) => {
    const result = parseAwsCredentials(text);
    expect(result.ok).toBe(false);
    expect(result.ok ? [] : result.mistakes).toContainEqual(expect.stringContaining(sentence));
  });

  it("never repeats a word of a damaged file", () => {
    const secretLine = "bm90LWEtcmVhbC1zZWNyZXQ=";
    const result = parseAwsCredentials(
      `[default]\n${keys}${secretLine}\nnot-a-real-secret-7\nsecret_in_key=not-a-real-secret-8\n[se cret]\n`,
    );
    expect(result.ok ? [] : result.mistakes).toHaveLength(4);
    expect(JSON.stringify(result)).not.toMatch(/bm90|not-a-real|secret_in_key|se cret/);
  });
});

describe("resolveAwsProfile", () => {
  it("gives roles in the order in which they are assumed", () => {
    const text = `[base]\n${keys}[middle]\n${role("first")}source_profile = base\nexternal_id = x-1\n[default]\n${role("second")}source_profile = middle\n`;
    expect(identity(text)).toEqual({
      ok: true,
      value: {
        keys: expectedKeys,
        roles: [
          { roleArn: "arn:aws:iam::123456789012:role/first", externalId: "x-1" },
          { roleArn: "arn:aws:iam::123456789012:role/second" },
        ],
      },
    });
  });

  it("uses the own keys of a profile that names itself as source", () => {
    const text = `[default]\n${keys}${role("x")}source_profile = default\n`;
    expect(identity(text)).toMatchObject({ value: { keys: expectedKeys, roles: [{}] } });
  });

  it.each([
    ["a circle", `[default]\n${role("a")}source_profile = b\n[b]\n${role("b")}source_profile = default\n`, "circle"],
    ["a missing source", `[default]\n${role("a")}source_profile = gone\n`, "no profile [gone]"],
    [
      "a source with both keys and a role",
      `[default]\n${role("a")}source_profile = b\n[b]\n${keys}${role("b")}source_profile = b\n`,
      "both keys and a role_arn",
    ],
  ])("refuses %s", (_what, text, sentence) => {
    expect(identity(text)).toEqual({ ok: false, mistakes: [expect.stringContaining(sentence)] });
  });
});
