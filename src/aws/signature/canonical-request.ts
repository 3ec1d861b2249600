import { hash } from "node:crypto";
import { headerValues, type SignedRequest } from "./signed-request.js";

/**
 * What a Signature Version 4 is made over: method, path, query, the signed headers and the hash of the body, each in its
 * one canonical spelling. The path is normalised and encoded once more than it was sent, as all services but S3 do.
 * Source: AWS IAM User Guide, "Create a signed AWS API request"; AWS's published test suite.
 * @param signedHeaders - names in lower case, in the order of the Authorization header
 */
export function canonicalRequest(request: SignedRequest, signedHeaders: readonly string[]): string {
  const mark = request.target.indexOf("?");
  const path = mark < 0 ? request.target : request.target.slice(0, mark);
  const query = mark < 0 ? "" : request.target.slice(mark + 1);
  return [
    request.method,
    canonicalPath(path),
    canonicalQuery(query),
    ...signedHeaders.map((name) => `${name}:${headerValues(request, name).map(canonicalValue).join(",")}`),
    "",
    signedHeaders.join(";"),
    payloadHash(request.body),
  ].join("\n");
}

/** SHA-256 of the body, in hexadecimal. */
export function payloadHash(body: Buffer): string {
  return hash("sha256", body, "hex");
}

function canonicalValue(value: string): string {
  return value.trim().replace(/\s+/g, " ");
}

function canonicalPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(uriEncode(part));
  }
  const end = path.endsWith("/") && parts.length > 0 ? "/" : "";
  return `/${parts.join("/")}${end}`;
}

// Sorted by bytes of the encoded name, then of the value. A `+` is a plus here, not a space.
function canonicalQuery(query: string): string {
  const pairs = query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair): [string, string] => {
      const equals = pair.indexOf("=");
      const [name, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
      return [uriEncode(decoded(name)), uriEncode(decoded(value))];
    });
  const order = ([a, x]: [string, string], [b, y]: [string, string]) => compare(a, b) || compare(x, y);
  return pairs
    .sort(order)
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

// By code unit: what is compared is ASCII.
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// RFC 3986's unreserved characters stay; encodeURIComponent leaves five more.
function uriEncode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
