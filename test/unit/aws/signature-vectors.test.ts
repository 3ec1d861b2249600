import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { readSignature, signatureOf } from "../../../src/aws/signature.js";

// AWS's published "Signature Version 4 Test Suite": its requests, and the header of each.
// All but get-vanilla-with-session-token, whose published signature is the end of its token and no signature.
const Vector = z.object({
  name: z.string(),
  method: z.string(),
  target: z.string(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  body: z.string(),
  authorization: z.string(),
});
const file = new URL("../../fixtures/sigv4-vectors.json", import.meta.url);
const vectors = z.array(Vector).parse(JSON.parse(await readFile(file, "utf8")));

const secretAccessKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const signedAt = "20150830T123600Z";
const scope = { date: "20150830", region: "us-east-1", service: "service" };

describe("AWS's published test suite of Signature Version 4", () => {
  test("is all there", () => expect(vectors).toHaveLength(33));

  test.each(vectors)("$name", async ({ authorization, body, ...request }) => {
    const [, names = "", signature] = /SignedHeaders=([^,]+), Signature=(\w+)/.exec(authorization) ?? [];
    const presented = { accessKeyId: "AKIDEXAMPLE", scope, signedAt, signedHeaders: names.split(";") };
    const made = await signatureOf({ ...request, body: Buffer.from(body) }, presented, secretAccessKey);
    expect(made.toString("hex")).toBe(signature);
  });

  test.each(vectors)("$name is read from its headers", ({ authorization, body, ...request }) => {
    const headers: [string, string][] = [...request.headers, ["Authorization", authorization]];
    const now = new Date("2015-08-30T12:36:00Z");
    const presented = readSignature({ ...request, headers, body: Buffer.from(body) }, { service: "service", now });
    expect(presented).toMatchObject({ accessKeyId: "AKIDEXAMPLE", scope, signedAt });
    expect(authorization.endsWith(presented.signature.toString("hex"))).toBe(true);
  });
});

describe("what the library would not sign again as it came", () => {
  const signedWith = (names: string, target = "/") => {
    const headers: [string, string][] = [
      ["Host", "example.amazonaws.com"],
      ["Date", "Sun, 30 Aug 2015 12:36:00 GMT"],
      ["X-Amz-Date", signedAt],
      [
        "Authorization",
        `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=${names}, Signature=${"0".repeat(64)}`,
      ],
    ];
    const request = { method: "GET", target, headers, body: Buffer.alloc(0) };
    return () => readSignature(request, { service: "service", now: new Date("2015-08-30T12:36:00Z") });
  };

  test("is refused with a sentence: a header that it makes itself, and a parameter that it leaves out", () => {
    expect(signedWith("host;x-amz-date")).not.toThrow();
    expect(signedWith("date;host;x-amz-date")).toThrow("sign X-Amz-Date");
    expect(signedWith("authorization;host;x-amz-date")).toThrow("sign X-Amz-Date");
    for (const target of ["/?X-Amz-Signature=1", "/?a=1&x-amz-signature", "/?%58-amz-signature=1"])
      expect(signedWith("host;x-amz-date", target)).toThrow("not into the URL");
  });
});
