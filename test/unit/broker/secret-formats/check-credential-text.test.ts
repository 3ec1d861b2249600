import { describe, expect, it } from "vitest";
import { parseAzurePrincipal } from "../../../../src/broker/secret-formats/azure-principal.js";
import { checkCredentialText } from "../../../../src/broker/secret-formats/check-credential-text.js";
import { parseUserPassword } from "../../../../src/broker/secret-formats/user-password.js";

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
