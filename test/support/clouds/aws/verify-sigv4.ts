import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { type CloudRequest, headerOf } from "../cloud-endpoint.js";

/** The secret half of an access key, and the session token that has to come with it. */
export type SigningKey = { secretAccessKey: string; sessionToken?: string };

export type SignatureVerdict =
  | { ok: true; accessKeyId: string }
  | { ok: false; reason: "missing" | "incomplete" | "unknown-key" | "mismatch" | "too-old"; message: string };

export type SigV4Expectations = {
  service: string;
  region: string;
  now: Date;
  keyOf(accessKeyId: string): SigningKey | undefined;
};

const toleranceMs = 300_000;
const authorizationPattern =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;

/**
 * Recomputes a Signature Version 4 header signature from the request as it arrived. Refuses another service or region,
 * a time stamp more than five minutes off, unsigned `host` or `x-amz-*` headers, a body hash that is not the body's and
 * a missing or foreign session token.
 * Source: AWS IAM User Guide, "Create a signed AWS API request".
 */
export function verifySigV4(request: CloudRequest, expected: SigV4Expectations): SignatureVerdict {
  const authorization = headerOf(request, "authorization");
  if (authorization === undefined) return refuse("missing", "Missing Authentication Token");
  const parts = authorizationPattern.exec(authorization);
  const amzDate = headerOf(request, "x-amz-date");
  if (parts === null || amzDate === undefined) {
    return refuse("incomplete", "The Authorization header or X-Amz-Date is not complete.");
  }
  const [, accessKeyId = "", date = "", region = "", service = "", signedHeaders = "", signature = ""] = parts;
  const key = expected.keyOf(accessKeyId);
  if (key === undefined) return refuse("unknown-key", "The security token included in the request is invalid.");
  if (headerOf(request, "x-amz-security-token") !== key.sessionToken) {
    return refuse("unknown-key", "The security token included in the request is invalid.");
  }
  if (service !== expected.service)
    return refuse("mismatch", `Credential should be scoped to correct service: '${expected.service}'.`);
  if (region !== expected.region)
    return refuse("mismatch", `Credential should be scoped to a valid region, not '${region}'.`);
  const signedAt = parseAmzDate(amzDate);
  if (signedAt === undefined || !amzDate.startsWith(date)) {
    return refuse(
      "mismatch",
      "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
    );
  }
  if (Math.abs(expected.now.getTime() - signedAt.getTime()) > toleranceMs) {
    return refuse("too-old", `Signature expired: ${amzDate} is not within 5 minutes of the server's time.`);
  }
  const unsigned = unsignedHeaders(request, signedHeaders.split(";"));
  if (unsigned.length > 0) return refuse("mismatch", `These headers must be signed: ${unsigned.join(", ")}.`);
  const bodyHash = sha256Hex(request.body);
  const statedHash = headerOf(request, "x-amz-content-sha256");
  if (statedHash !== undefined && statedHash !== bodyHash)
    return refuse("mismatch", "The body is not the one that was signed.");
  const scope = `${date}/${region}/${service}/aws4_request`;
  const canonical = canonicalRequest(request, signedHeaders, bodyHash);
  const stringToSign = ["AWS4-HMAC-SHA256", amzDate, scope, sha256Hex(canonical)].join("\n");
  const computed = hmac(signingKey(key.secretAccessKey, date, region, service), stringToSign);
  if (!timingSafeEqual(computed, Buffer.from(signature, "hex"))) {
    return refuse("mismatch", "The request signature we calculated does not match the signature you provided.");
  }
  return { ok: true, accessKeyId };
}

function refuse(
  reason: "missing" | "incomplete" | "unknown-key" | "mismatch" | "too-old",
  message: string,
): SignatureVerdict {
  return { ok: false, reason, message };
}

function canonicalRequest(request: CloudRequest, signedHeaders: string, bodyHash: string): string {
  const headers = signedHeaders
    .split(";")
    .map((name) => `${name}:${(headerOf(request, name) ?? "").trim().replace(/ +/g, " ")}\n`)
    .join("");
  // Every service but S3 encodes the path a second time.
  const path = request.path.split("/").map(uriEncode).join("/");
  return [request.method, path, canonicalQuery(request.rawQuery), headers, signedHeaders, bodyHash].join("\n");
}

function canonicalQuery(rawQuery: string): string {
  return [...new URLSearchParams(rawQuery)]
    .map(([name, value]) => `${uriEncode(name)}=${uriEncode(value)}`)
    .sort()
    .join("&");
}

function unsignedHeaders(request: CloudRequest, signed: readonly string[]): string[] {
  const needed = Object.keys(request.headers).filter((name) => name === "host" || name.startsWith("x-amz-"));
  return needed.filter((name) => !signed.includes(name));
}

function signingKey(secret: string, date: string, region: string, service: string): Buffer {
  return [date, region, service, "aws4_request"].reduce(hmac, Buffer.from(`AWS4${secret}`, "utf8"));
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "utf8").digest();
}

function sha256Hex(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

// RFC 3986 unreserved characters stay; encodeURIComponent leaves five more.
function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function parseAmzDate(text: string): Date | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second] = parts;
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}
