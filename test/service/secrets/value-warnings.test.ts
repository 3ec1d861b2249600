import { generateKeyPairSync, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Plaintext } from "../../../src/crypto/plaintext.js";
import { valueWarnings } from "../../../src/secrets/value-warnings.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { lifeOf, newLife } from "./secret-life.js";

const codesOf = (text: string): string[] => valueWarnings(Plaintext.fromText(text)).map(({ code }) => code);

const { privateKey } = generateKeyPairSync("ed25519");
const plainKey = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
const cipher = "aes-256-cbc";
const lockedKey = privateKey
  .export({ type: "pkcs8", format: "pem", cipher, passphrase: "not-a-real-passphrase" })
  .toString();
const openSshHead = (kdf: string): string =>
  Buffer.concat([Buffer.from("openssh-key-v1\0\0\0\0\x0aaes256-ctr\0\0\0\x06"), Buffer.from(kdf), Buffer.alloc(40)])
    .toString("base64")
    .replace(/^/, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("a value that looks like a mistake", () => {
  it.each([
    ["replacement-character", "abc\u{FFFD}def"],
    ["crlf", plainKey.replaceAll("\n", "\r\n")],
    ["crlf", "[default]\r\naws_access_key_id = not-a-real-key\r\n"],
    ["double-base64", base64(base64("not a real secret, but long enough"))],
    ["quoted", '"not-a-real-secret"'],
    ["quoted", "'not-a-real-secret'\n"],
    ["unexpanded", "$(cat key.pem)"],
    ["unexpanded", "$(< key.pem)"],
    ["unexpanded", "`cat key.pem`"],
    ["unexpanded", "$" + "{AWS_KEY}"],
    ["passphrase", lockedKey],
    ["passphrase", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n"],
    ["passphrase", openSshHead("bcrypt")],
    ["personal-credential", '{"type": "authorized_user", "refresh_token": "not-a-real-token"}'],
    ["personal-credential", `someone:ghp_${"notarealtoken".repeat(3).slice(0, 36)}`],
    ["personal-credential", `someone:gho_${"notarealtoken".repeat(3).slice(0, 36)}`],
    ["personal-credential", `someone:github_pat_${"notarealtoken".repeat(4)}`],
    ["personal-credential", `someone:dckr_pat_${"notarealtoken".repeat(3)}`],
  ])("%s: %#", (code, text) => {
    expect(codesOf(text)).toEqual([code]);
  });

  it.each([
    plainKey,
    openSshHead("none"),
    base64("encoded once, as it should be"),
    "user:pa$$word",
    `machine:ghs_${"notarealtoken".repeat(3).slice(0, 36)}`,
    `machine:dckr_oat_${"notarealtoken".repeat(3)}`,
    "it's",
    '"',
    '{"type": "service_account"}',
    "[default]\naws_access_key_id = not-a-real-key\n",
    "a text\r\nof two lines",
    randomBytes(48).toString("base64"),
  ])("is not this one: %#", (text) => {
    expect(codesOf(text)).toEqual([]);
  });

  it("never shows itself in a warning", () => {
    for (const { message } of valueWarnings(Plaintext.fromText("'not-a-real-secret'"))) {
      expect(message).not.toContain("not-a-real");
    }
  });
});

describe("a write", () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService();
  });
  afterAll(() => service.close());

  const codes = (body: { warnings: { code: string }[] }): string[] => body.warnings.map(({ code }) => code);

  it("is remarked on when the credential is of another cloud than the entries that name it", async () => {
    const { factory } = await newLife(service, 0);
    const document =
      "container_registries:\n- type: azure\n  azure_principal_secret_name: principal\n  url: acme.azurecr.io\n";
    const put = service.as(service.operatorToken).put(`/v1/factories/${factory.name}/config?allowMissingSecrets=true`);
    await put.set("Content-Type", "application/yaml").send(document).expect(201);
    const { path } = lifeOf(service, factory, "principal");
    const write = (value: string) =>
      service.as(service.operatorToken).put(path).query({ allowUnusable: "true" }).send({ value });
    const aws = "[default]\naws_access_key_id = AKIAABCDEFGHIJKLMNOP\naws_secret_access_key = not-a-real-secret\n";
    expect(codes((await write(aws)).body)).toContain("other-cloud");
    const google = JSON.stringify({ type: "service_account", client_email: "a@b", private_key: "none" });
    expect(codes((await write(google)).body)).toContain("other-cloud");
    const azure = { appId: "an-app", password: "not-a-real-secret", tenant: "example.test" };
    expect(codes((await write(JSON.stringify(azure))).body)).toEqual([]);
  });

  it("is remarked on when the credential has ended already", async () => {
    const { path } = await newLife(service, 0);
    const agent = service.as(service.operatorToken);
    const write = (expiresAt: string) => agent.put(path).send({ value: "not-a-real-secret", expiresAt });
    expect(codes((await write("2020-01-01T00:00:00.000Z")).body)).toEqual(["expired"]);
    expect(codes((await write("2099-01-01T00:00:00.000Z")).body)).toEqual([]);
  });
});
