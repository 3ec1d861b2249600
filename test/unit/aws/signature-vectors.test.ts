import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { canonicalRequest } from "../../../src/aws/signature/canonical-request.js";
import { computeSignature } from "../../../src/aws/signature/compute-signature.js";
import { readSignature } from "../../../src/aws/signature/read-signature.js";

// AWS's published "Signature Version 4 Test Suite": its requests, the SHA-256 of each canonical request, and the header.
// All but get-vanilla-with-session-token, whose published signature is the end of its token and no signature.
const Vector = z.object({
  name: z.string(),
  method: z.string(),
  target: z.string(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  body: z.string(),
  canonicalRequestSha256: z.string(),
  authorization: z.string(),
});
const file = new URL("../../fixtures/sigv4-vectors.json", import.meta.url);
const vectors = z.array(Vector).parse(JSON.parse(await readFile(file, "utf8")));

const secretAccessKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const signedAt = "20150830T123600Z";
const scope = { date: "20150830", region: "us-east-1", service: "service" };

describe("AWS's published test suite of Signature Version 4", () => {
  test("is all there", () => expect(vectors).toHaveLength(33));

  test.each(vectors)("$name", ({ authorization, canonicalRequestSha256, body, ...request }) => {
    const [, names = "", signature] = /SignedHeaders=([^,]+), Signature=(\w+)/.exec(authorization) ?? [];
    const canonical = canonicalRequest({ ...request, body: Buffer.from(body) }, names.split(";"));
    expect(hash("sha256", canonical, "hex")).toBe(canonicalRequestSha256);
    expect(computeSignature(secretAccessKey, scope, signedAt, canonical).toString("hex")).toBe(signature);
  });

  test.each(vectors)("$name is read from its headers", ({ authorization, body, ...request }) => {
    const headers: [string, string][] = [...request.headers, ["Authorization", authorization]];
    const now = new Date("2015-08-30T12:36:00Z");
    const presented = readSignature({ ...request, headers, body: Buffer.from(body) }, { service: "service", now });
    expect(presented).toMatchObject({ accessKeyId: "AKIDEXAMPLE", scope, signedAt });
    expect(authorization.endsWith(presented.signature.toString("hex"))).toBe(true);
  });
});
