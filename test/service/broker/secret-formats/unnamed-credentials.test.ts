import { describe, expect, it } from "vitest";
import { checkUnnamedCredentialText } from "../../../../src/broker/secret-formats/check-credential-text.js";
import { startTestService } from "../../../support/test-service.js";

const keys =
  "aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = not-a-real-secret-1-not-a-real-secret-1\n";

describe("a secret that no entry names yet", () => {
  it.each([
    ["credential_process", "[default]\ncredential_process = /bin/true\n", "Line 2: credential_process is not allowed"],
    [
      "an endpoint of its own",
      `[default]\n${keys}endpoint_url = https://attacker.example\n`,
      "endpoint_url is not allowed",
    ],
    ["no profile", keys, "Line 1: this line is outside any profile"],
  ])("is warned of when it is an AWS credentials file with %s", (_what, text, sentence) => {
    const messages = checkUnnamedCredentialText(text).map(({ message }) => message);
    expect(messages.join(" ")).toContain(sentence);
    expect(messages[0]).toMatch(/^This looks like an AWS credentials file, and a registry entry could not use it\. /);
    expect(messages.join(" ")).not.toContain("attacker.example");
  });

  it.each([
    ["a good AWS credentials file", `[default]\n${keys}`],
    ["another INI file", "[global]\nindex-url = https://example.com\nregion = here\n"],
    ["a user and token", "ci:not-a-real-secret-2"],
    ["JSON", '{"role_arn":"x"}'],
  ])("is not warned of when it is %s", (_what, text) => {
    expect(checkUnnamedCredentialText(text)).toEqual([]);
  });

  it("is warned of in the reply and by its code in the audit, and stored all the same", async () => {
    const service = await startTestService();
    try {
      const { name } = await service.createFactory();
      const operator = service.as(service.operatorToken);
      const value = "[default]\ncredential_process = /bin/true\n";
      const reply = await operator.put(`/v1/factories/${name}/secrets/aws_creds`).send({ value });
      expect(reply.status).toBe(201);
      expect(reply.body.warnings[0]).toEqual({
        code: "credential-malformed",
        message:
          "This looks like an AWS credentials file, and a registry entry could not use it. Line 2: credential_process is not allowed: it runs a program.",
      });
      const audit = await operator.get(`/v1/factories/${name}/audit?action=secret.written`);
      expect(audit.body.items[0].warnings).toContain("credential-malformed");
    } finally {
      await service.close();
    }
  });
});
