import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseDocument } from "../../../src/factory-config/parse-document.js";

/** Everything that parsing says about a document. */
function saidOf(source: string | Uint8Array): string {
  const result = parseDocument(source);
  return JSON.stringify(result.ok ? result.warnings : result.invalid);
}

const yamlish = fc
  .array(
    fc.constantFrom(
      "container_registries:",
      "- ",
      "\n",
      "  ",
      ": ",
      "type: aws",
      "url: ",
      "{",
      "}",
      "[",
      "]",
      ",",
      "#",
      "&a ",
      "*a",
      "!!str ",
      '"',
      "'",
      "|",
      ">",
      "?",
      "---\n",
      "...\n",
      "%YAML 1.2\n",
      "<<: ",
      "hosts: ",
      "x",
      "1",
      "\t",
      "\r\n",
      "\uFEFF",
      "~",
      "notify: {webhooks: ",
      "secret_name: ",
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(""));

describe("parseDocument, given anything", () => {
  it("throws at no text", () => {
    fc.assert(
      fc.property(fc.oneof(yamlish, fc.string({ unit: "binary" }), fc.json()), (text) => {
        parseDocument(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it("throws at no bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        parseDocument(bytes);
      }),
      { numRuns: 1_000 },
    );
  });

  it("gives the same for text and for its bytes", () => {
    fc.assert(
      fc.property(yamlish, (text) => {
        expect(parseDocument(Buffer.from(text))).toEqual(parseDocument(text));
      }),
    );
  });

  it("says where, in a line and a column that exist", () => {
    fc.assert(
      fc.property(yamlish, (text) => {
        const result = parseDocument(text);
        const lines = text.replace(/^\uFEFF/, "").split("\n");
        for (const { at } of result.ok ? result.warnings : result.invalid) {
          const [, line = "0", column = "0"] = /^line ([1-9]\d*), column ([1-9]\d*)$/.exec(at) ?? [];
          expect(Number(column)).toBeGreaterThan(0);
          expect([...(lines[Number(line) - 1] ?? "")].length + 1).toBeGreaterThanOrEqual(Number(column));
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("a message about a document", () => {
  const secrets = fc.oneof(
    fc.constantFrom(
      "not-a-real-secret-1",
      "user:not-a-real-password",
      "AKIAIOSFODNN7EXAMPLE",
      "ghp_notARealTokenNotARealToken000000000",
      "correct horse battery staple",
      "hunter2",
      "not/a/real/key+0==",
      "eyJub3QiOiJyZWFsIn0.eyJub3QiOiJyZWFsIn0.bm90LXJlYWw",
    ),
    fc.stringMatching(/^[A-Za-z0-9+/=_:.-]{12,40}$/),
  );

  const places = [
    (s: string) => `- type: ${s}\n`,
    (s: string) => `- ${s}: aws\n`,
    (s: string) => `- ${s}\n`,
    (s: string) => `${s}\n`,
    (s: string) => `${s}: 1\n${s}: 2\n`,
    (s: string) => `- type: generic\n  generic_secret_name: ${s}\n`,
    (s: string) => `- type: generic\n  url: ${s}\n  generic_secret_name: x\n  region: 1\n`,
    (s: string) => `- type: generic\n  url: https://${s}@ghcr.io\n  generic_secret_name: x\n`,
    (s: string) => `- type: generic\n  url: https://ghcr.io/${s}\n  generic_secret_name: x\n`,
    (s: string) => `- type: aws\n  region: ${s}\n  aws_creds_secret_name: x\n  profile: "${s} "\n`,
    (s: string) => `- type: azure\n  azure_tenant_id: "${s} "\n  azure_principal_secret_name: "${s} "\n`,
    (s: string) => `- type: gar\n  gar_creds_secret_name: "${s} "\n  hosts: ["${s} ", ${s}]\n`,
    (s: string) => `- type: gar\n  gar_creds_secret_name: ${s}\n  aws_creds_secret_name: ${s}\n  ${s}: ${s}\n`,
    (s: string) => `a: !${s} x\nb: "${s}\n`,
    (s: string) => `a: *${s}\n`,
    (s: string) => `%${s}\n---\na: [${s}\n`,
    (s: string) => `container_registries: ${s}\n`,
    (s: string) => `notify: {webhooks: [{secret_name: "${s} "}]}\n`,
  ];

  it("never quotes a value, wherever it stands", () => {
    fc.assert(
      fc.property(secrets, fc.constantFrom(...places), (secret, place) => {
        const said = saidOf(place(secret));
        expect(said).not.toContain(secret);
        expect(said).not.toContain(JSON.stringify(secret).slice(1, -1));
      }),
      { numRuns: 2_000 },
    );
  });
});
