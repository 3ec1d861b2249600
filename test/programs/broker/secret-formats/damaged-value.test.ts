import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkCredentialText } from "../../../../src/broker/secret-formats/check-credential-text.js";
import type { RegistryType } from "../../../../src/factory-config/entry.js";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
const keyFile = { type: "service_account", client_email: "ci@acme.example", private_key: pem };
const google = JSON.stringify(keyFile, null, 2);
const id = "AKIAIOSFODNN7EXAMPLE";
const key = "not-a-real-secret-of-aws";
const aws = `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${key}\n`;
const good: Readonly<Record<RegistryType, string>> = {
  aws,
  azure: "11111111-2222-3333-4444-555555555555:not-a-real-secret-1",
  gar: google,
  generic: "ci:not-a-real-secret-1",
};
const forms = ["aws", "azure", "gar", "generic"] as const;
const utf16le = (text: string) => Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, "utf16le")]);
const utf16be = (text: string) => utf16le(text).swap16();
const asText = (bytes: Buffer) => bytes.toString("utf8");
const base64 = (text: string) => Buffer.from(text).toString("base64");
const lined = (text: string) => text.replace(/.{76}/g, "$&\n");

/** The only sentence that is said of a value; nothing of the value may stand in it. */
function sentenceOf(form: RegistryType, text: string): string {
  const warnings = checkCredentialText(form, text);
  const said = JSON.stringify(warnings);
  for (const secret of [key, "not-a-real-secret-1", id]) expect(said).not.toContain(secret);
  expect(warnings).toHaveLength(1);
  return warnings[0]?.message ?? "";
}

describe.each(forms)("a value for %s", (form) => {
  const value = good[form];

  it("may begin with a byte order mark", () => {
    expect(checkCredentialText(form, value)).toEqual([]);
    expect(checkCredentialText(form, `\uFEFF${value}`)).toEqual([]);
    expect(checkCredentialText(form, `\uFEFF\uFEFF${value}`)).toEqual([]);
  });

  it.each([
    ["UTF-16LE", asText(utf16le(value)), /UTF-16.*iconv -f UTF-16LE/],
    ["UTF-16BE", asText(utf16be(value)), /UTF-16.*iconv -f UTF-16BE/],
    ["UTF-16 without a mark", asText(Buffer.from(value, "utf16le")), /UTF-16/],
    ["base64", base64(value), /base64 -d FILE/],
    ["base64 in lines", `${lined(base64(value))}\n`, /base64 -d FILE/],
    ["base64 of a file with a byte order mark", base64(`\uFEFF${value}`), /base64 -d FILE/],
    ["base64 with a prefix", `base64:${base64(value)}`, /base64 -d/],
    ["a data URL", `data:text/plain;base64,${base64(value)}`, /base64 -d/],
    ["Windows-1252 with a mark", `\u00EF\u00BB\u00BF${value}`, /byte order mark.*sed/],
    ["single quotes", `'${value}'`, /quotes.*sed/],
    ["a variable", `REGISTRY_SECRET=${value}`, /sets a variable/],
    ["a variable with quotes", `export REGISTRY_SECRET='${value}'\n`, /sets a variable/],
  ])("in %s is named as that", (_, text, sentence) => {
    expect(sentenceOf(form, text)).toMatch(sentence);
  });

  it.each([
    "/home/me/.aws/credentials",
    "/home/me/.aws/credentials\n",
    "/Users/Jo Doe/key.json",
    "~/.aws/credentials",
    "./key.json",
    "../secrets/creds",
    "$HOME/.docker/config",
    `\${HOME}/creds`,
    "%USERPROFILE%\\.aws\\credentials",
    "C:\\Users\\me\\key.json",
    "key.json",
    "secrets/key.json",
    ".aws/credentials",
    "file:///home/me/key.json",
    "'/home/me/key.json'",
    '"~/.aws/credentials"',
  ])("that is the path %j is told how to send a file", (path) => {
    expect(sentenceOf(form, path)).toMatch(/path.*NAME==FILE/);
  });

  it.each([
    ["external_account", JSON.stringify({ type: "external_account", audience: "//iam.googleapis.com/x" })],
    ["authorized_user", JSON.stringify({ type: "authorized_user", client_id: "x", refresh_token: "y" })],
    [
      "get-session-token",
      JSON.stringify({ Credentials: { AccessKeyId: id, SecretAccessKey: key, SessionToken: "x" } }),
    ],
    [
      "assume-role",
      JSON.stringify(
        { Credentials: { AccessKeyId: id, SecretAccessKey: key, SessionToken: "x" }, AssumedRoleUser: {} },
        null,
        1,
      ),
    ],
    ["create-access-key", JSON.stringify({ AccessKey: { UserName: "ci", AccessKeyId: id, SecretAccessKey: key } })],
    ["credential process", JSON.stringify({ Version: 1, AccessKeyId: id, SecretAccessKey: key, SessionToken: "x" })],
    ["CSV", `Access key ID,Secret access key\r\n${id},${key}\r\n`],
    [
      "CSV",
      `\uFEFFUser name,Password,Access key ID,Secret access key,Console login link\nci,,${id},${key},https://x\n`,
    ],
    ["environment variables", `export AWS_ACCESS_KEY_ID=${id}\nexport AWS_SECRET_ACCESS_KEY=${key}\n`],
    ["docker config.json", JSON.stringify({ auths: { "ghcr.io": { auth: "x" } } })],
  ])("that is %s is named as that", (name, text) => {
    expect(sentenceOf(form, text)).toContain(name);
  });
});

describe.each(["azure", "generic"] as const)("a pair for %s", (form) => {
  it.each([
    [" ci:not-a-real-secret-1", "blank"],
    ["ci: not-a-real-secret-1", "blank"],
    ["ci:not-a-real-secret-1 ", "blank"],
    ["ci:not-a-real-secret-1\u00a0", "invisible character (U+00A0)"],
    ["https://ci:not-a-real-secret-1@ghcr.io", "URL"],
    ['[{"appId":"x","password":"not-a-real-secret-1","tenant":"y"}]', "It is JSON"],
  ])("written as %j is not taken for one", (text, sentence) => {
    expect(sentenceOf(form, text)).toContain(sentence);
  });

  it("may hold quotes, equals signs and blanks within", () => {
    for (const text of ["ci:'x'", "ci:a=b c", "a=b:c", `'ci:x`]) expect(checkCredentialText(form, text)).toEqual([]);
  });
});

describe("a Google key", () => {
  it.each([{ token_uri: null }, { token_uri: "" }, { universe_domain: null }, { universe_domain: "" }])(
    "may leave empty what it need not say: %j",
    (members) => {
      expect(checkCredentialText("gar", JSON.stringify({ ...keyFile, ...members }))).toEqual([]);
    },
  );

  it.each([{ token_uri: [] }, { universe_domain: 1 }, { universe_domain: "example.com" }])(
    "is refused when it says what cannot be used: %j",
    (members) => {
      expect(checkCredentialText("gar", JSON.stringify({ ...keyFile, ...members }))).toHaveLength(1);
    },
  );

  it.each([
    ["_json_key", `_json_key:${google}`, "docker login"],
    ["_json_key_base64", `_json_key_base64:${base64(google)}`, "docker login"],
    ["base64 of _json_key", base64(`_json_key:${google}`), "base64 -d"],
    [
      "a private key with \\\\n",
      JSON.stringify({ ...keyFile, private_key: pem.replaceAll("\n", "\\n") }),
      "escaped twice",
    ],
    ["a private key with line ends", google.replaceAll("\\n", "\n"), "made into line ends"],
    ["JSON in a JSON text", JSON.stringify(google), "JSON in a JSON text"],
    ["escaped quotes", JSON.stringify(JSON.stringify(keyFile)).slice(1, -1), "escaped with backslashes"],
    ["the private key alone", pem, "private key alone"],
    ["an API's reply", JSON.stringify({ name: "x", privateKeyData: base64(google) }), ".privateKeyData"],
  ])("as %s is named as that", (_, text, sentence) => {
    expect(sentenceOf("gar", text)).toContain(sentence);
  });

  it("is a login of a generic registry as _json_key on one line", () => {
    expect(checkCredentialText("generic", `_json_key:${JSON.stringify(keyFile)}`)).toEqual([]);
  });
});

describe("an AWS credentials file", () => {
  it("may hold what other tools note in it, which is said", () => {
    const noted = `${aws}aws_security_token = x\nx_security_token_expires = 2026-01-01T00:00:00Z\nx_principal_arn =\n`;
    const messages = checkCredentialText("aws", noted).map(({ code, message }) => `${code} ${message}`);
    expect(messages).toEqual([
      "line-ignored Line 4: aws_security_token is ignored.",
      "line-ignored Line 5: x_security_token_expires is ignored.",
      "line-ignored Line 6: x_principal_arn is ignored.",
    ]);
  });

  it("may hold settings that change nothing of the keys", () => {
    const noted = `${aws}output = json\ncli_pager =\nretry_mode = standard\naws_account_id = 123456789012\n`;
    expect(checkCredentialText("aws", noted).map(({ code }) => code)).toEqual(Array(4).fill("line-ignored"));
  });

  it("on one line with \\n in it is named as that", () => {
    expect(sentenceOf("aws", aws.replaceAll("\n", "\\n"))).toContain("sed");
  });
});

const tools = spawnSync("sh", ["-c", "command -v iconv base64 awk sed"]).status === 0;

describe.skipIf(!tools)("the command in the sentence repairs", () => {
  it.each<[string, RegistryType, Buffer | string]>([
    ["UTF-16LE", "aws", utf16le(aws)],
    ["UTF-16BE", "generic", utf16be(good.generic)],
    ["base64", "gar", base64(google)],
    ["base64 with a prefix", "azure", `base64:${base64(good.azure)}`],
    ["a data URL", "generic", `data:text/plain;base64,${base64(good.generic)}`],
    ["a mark read in another encoding", "gar", `\u00EF\u00BB\u00BF${google}`],
    ["single quotes", "aws", `'${aws}'\n`],
    ["double quotes in a file with quotes", "gar", `"${google}"`],
    ["backticks", "generic", `\`${good.generic}\``],
    ["_json_key", "gar", `_json_key:${google}`],
    ["_json_key_base64", "gar", `_json_key_base64:${base64(google)}\n`],
    ["the console's CSV", "aws", `\uFEFFAccess key ID,Secret access key\r\n${id},${key}\r\n`],
    [
      "the console's longer CSV",
      "aws",
      `User name,Password,Access key ID,Secret access key,Link\nci,,${id},${key},x\n`,
    ],
    ["line ends as \\n", "aws", aws.replaceAll("\n", "\\n")],
    ["line ends escaped twice", "gar", JSON.stringify({ ...keyFile, private_key: pem.replaceAll("\n", "\\n") })],
    ["escaped quotes", "gar", JSON.stringify(JSON.stringify(keyFile)).slice(1, -1)],
  ])("%s", (_, form, value) => {
    const directory = mkdtempSync(join(tmpdir(), "damaged-"));
    try {
      writeFileSync(join(directory, "FILE"), value);
      const message = sentenceOf(form, typeof value === "string" ? value : asText(value));
      const command = /: ((?:iconv|base64|awk|sed) .*)$/.exec(message)?.[1] ?? "false";
      expect(spawnSync("sh", ["-c", command], { cwd: directory, encoding: "utf8" })).toMatchObject({
        status: 0,
        stderr: "",
      });
      const [made = ""] = readdirSync(directory).filter((name) => name !== "FILE");
      expect(checkCredentialText(form, readFileSync(join(directory, made), "utf8"))).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
