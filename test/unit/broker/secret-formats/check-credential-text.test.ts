import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { parseAzurePrincipal } from "../../../../src/broker/providers/azure/principal.js";
import { parseUserPassword } from "../../../../src/broker/providers/docker/user-password.js";
import { checkCredentialText } from "../../../../src/broker/secret-formats/check-credential-text.js";

describe("parseUserPassword", () => {
  it("splits at the first colon and drops one line end", () => {
    expect(parseUserPassword("ci:a:b\r\n")).toEqual({ ok: true, value: { user: "ci", password: "a:b" } });
  });

  it.each(["", "nothing", ":x", "x:", "a:b\nc:d", "a:b\n\n", "a:\u0000"])("refuses %j", (text) => {
    expect(parseUserPassword(text).ok).toBe(false);
  });
});

describe("parseAzurePrincipal", () => {
  it("reads the pair and both kinds of JSON", () => {
    expect(parseAzurePrincipal("id:pass:word")).toEqual({
      ok: true,
      value: { clientId: "id", clientSecret: "pass:word" },
    });
    const expected = { ok: true, value: { clientId: "a", clientSecret: "p", tenantId: "t.example" } };
    expect(parseAzurePrincipal('{"appId":"a","displayName":"d","password":"p","tenant":"t.example"}')).toEqual(
      expected,
    );
    expect(parseAzurePrincipal('{"clientId":"a","clientSecret":"p","tenantId":"t.example","x":1}')).toEqual(expected);
  });

  it.each(['{"appId":"a"}', "{not json", '{"appId":"a","password":"p","tenant":"../x"}'])("refuses %s", (text) => {
    expect(parseAzurePrincipal(text).ok).toBe(false);
  });
});

describe("checkCredentialText", () => {
  it.each([
    ["aws", "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = not-a-real-secret-1\n"],
    ["azure", "id:password"],
    ["generic", "user:token"],
  ] as const)("has nothing to say about a good %s secret", (type, text) => {
    expect(checkCredentialText(type, text)).toEqual([]);
  });

  it.each(["aws", "azure", "gar", "generic"] as const)("warns about a bad %s secret without quoting it", (type) => {
    const warnings = checkCredentialText(type, "not-a-real-secret-1");
    expect(warnings[0]).toMatchObject({ code: "credential-malformed" });
    expect(JSON.stringify(warnings)).not.toContain("not-a-real-secret-1");
  });
});

const principal = '{"appId":"a","displayName":"d","password":"p","tenant":"t"}';
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const pem = (type: "pkcs1" | "pkcs8"): string => privateKey.export({ type, format: "pem" }).toString();
const keyFile = (key: string): string =>
  JSON.stringify({ type: "service_account", client_email: "ci@p.iam.gserviceaccount.com", private_key: key });

describe("what people store in the place of a credential", () => {
  it.each([
    ["aws", "AKIAIOSFODNN7EXAMPLE:not-a-real-secret-1", "It is a key id and its secret alone"],
    ["aws", "AKIAIOSFODNN7EXAMPLE\nnot-a-real-secret-1\n", "It is a key id and its secret alone"],
    ["aws", "set -gx AWS_ACCESS_KEY_ID x\n", "It sets environment variables"],
    ["aws", '{"startUrl":"https://x","accessToken":"x"}', "It is a person's login at IAM Identity Center"],
    ["aws", '{"aws_access_key_id":"x","aws_secret_access_key":"y"}', "It is JSON with AWS keys"],
    ["aws", '{ // keys\n "AccessKeyId": "x" }', "It begins like JSON and is not valid JSON"],
    ["aws", "apiVersion: v1\nkind: Secret\ndata:\n  a: e30=\n", "It is a Kubernetes Secret"],
    ["aws", "[default]\naws_access_key_id\u00a0= x\n", "Line 2: it holds an invisible character (U+00A0)"],
    ["azure", `WARNING: The output includes credentials\n${principal}\n`, "There is text before the JSON"],
    ["azure", `// made by az\n${principal}`, "There is text before the JSON"],
    [
      "azure",
      '{"appId":"a","fileWithCertAndPrivateKey":"/x.pem","tenant":"t"}',
      "It is a service principal with a cert",
    ],
    ["azure", "appId: a\npassword: p\ntenant: t\n", "It is the YAML of the Azure CLI"],
    ["azure", "a\td\tp\tt\n", "It is tab-separated output"],
    ["azure", "ARM_CLIENT_ID=a\nARM_CLIENT_SECRET=b\n", "It sets environment variables"],
    ["azure", '{"accessToken":"x","loginServer":"x.azurecr.io"}', "It is an access token of the Azure CLI"],
    ["azure", '{"passwords":[{"name":"p","value":"x"}],"username":"u"}', "It is the JSON of az acr credential show"],
    ["gar", `// key of ci\n${keyFile(pem("pkcs8"))}`, "There is text before the JSON"],
    ["gar", keyFile(pem("pkcs8")).replace("}", ",}"), "It begins like JSON and is not valid JSON"],
    ["gar", keyFile(pem("pkcs8").replaceAll("\n", " ")), "Its private_key has lost its line ends"],
    ["gar", keyFile(pem("pkcs8").slice(0, 600)), "Its private_key is cut off"],
    ["generic", "me:not-a-real\u200b-token", "Line 1: it holds an invisible character (U+200B)"],
    ["generic", "me:\ufeffnot-a-real-token", "Line 1: it holds an invisible character (U+FEFF)"],
    ["generic", "\u201cme:not-a-real-token\u201d", "It is in typographic quotes"],
    ["generic", "me\nnot-a-real-token\n", "User and token stand on two lines"],
    ["generic", "username: me\npassword: x\n", "It names user and password on lines of their own"],
    ["generic", "machine ghcr.io login me password x", "It is a netrc file"],
    ["generic", "Basic bWU6eA==", "It is an Authorization header"],
    ["generic", "docker login ghcr.io -u me -p x", "It is a command line"],
    ["generic", '{"ghcr.io":{"auth":"bWU6eA=="}}', "It is an old .dockercfg"],
    [
      "generic",
      '{"ServerURL":"ghcr.io","Username":"me","Secret":"x"}',
      "It is the reply of a docker credential helper",
    ],
    ["generic", "me:$GHCR_TOKEN", "It holds a variable's name or a placeholder"],
    ["generic", "me:***", "It holds a variable's name or a placeholder"],
  ] as const)("is named: for %s, %j", (type, text, sentence) => {
    const introduction = /^A registry entry uses this secret as [\w ]+\. /;
    const [warning] = checkCredentialText(type, text);
    expect(warning?.message.replace(introduction, "").slice(0, sentence.length)).toBe(sentence);
  });

  it.each([
    ["aws", "[default]\r\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\r\naws_secret_access_key = not-a-real-secret-1\r\n"],
    ["azure", principal],
    ["gar", keyFile(pem("pkcs1"))],
    ["gar", keyFile(pem("pkcs8").replaceAll("\n", "\r\n"))],
    ["generic", "robot$ci:not-a-real-token\n"],
    ["generic", "m\u00e9:p\u00e4ss"],
  ] as const)("works where it can: %s", (type, text) => {
    expect(checkCredentialText(type, text)).toEqual([]);
  });
});
