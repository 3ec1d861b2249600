import { createHash, createHmac, hash } from "node:crypto";
import { Problem } from "../core/problem.js";

/** A request as it arrived: what a signature over it is checked against. */
export type SignedRequest = {
  method: string;
  /** Path and query as they were sent, still percent-encoded. */
  target: string;
  /** Name and value of each header, in the order and spelling in which they were sent. */
  headers: readonly (readonly [string, string])[];
  body: Buffer;
};

/** The values of one header, in order. @param name - in lower case */
export function headerValues({ headers }: Pick<SignedRequest, "headers">, name: string): string[] {
  return headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
}

/** The header's value; `undefined` when it is not there, or more than once: then it says nothing for certain. */
export function onlyHeader(request: Pick<SignedRequest, "headers">, name: string): string | undefined {
  const values = headerValues(request, name);
  return values.length === 1 ? values[0] : undefined;
}

/** What an access key is used for on one day. */
export type CredentialScope = {
  /** `YYYYMMDD`. */
  date: string;
  region: string;
  service: string;
};

/** A signature that is fit to be compared: all has been checked that can be without the key. */
export type PresentedSignature = {
  accessKeyId: string;
  scope: CredentialScope;
  /** `YYYYMMDDThhmmssZ`. */
  signedAt: string;
  signature: Buffer;
  /** Names in lower case. */
  signedHeaders: readonly string[];
};

/** How far the clocks of client and service may be apart. AWS has the same. */
export const toleranceMs = 5 * 60 * 1000;

const authorization =
  /^AWS4-HMAC-SHA256 +Credential=([A-Za-z0-9_-]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/([a-z0-9-]{1,64})\/aws4_request, *SignedHeaders=([a-z0-9;_-]{1,2000}), *Signature=([0-9a-f]{64})$/;

/** These change what is asked for, so anyone who changed them would have asked for something else. */
const alwaysSigned = ["host", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256"];

/**
 * Reads the signature of a request and checks all of it that needs no key: its form, that it is for this service, its
 * time, which headers it covers and the hash of the body.
 * Source: AWS IAM User Guide, "Create a signed AWS API request".
 * @throws Problem `signature-refused` with what is wrong
 */
export function readSignature(request: SignedRequest, expected: { service: string; now: Date }): PresentedSignature {
  const header = onlyHeader(request, "authorization");
  if (header === undefined) throw refused("The request is not signed. Give your AWS program the job's keys.");
  const [, accessKeyId = "", date = "", region = "", service = "", names = "", signature = ""] =
    authorization.exec(header) ?? [];
  if (signature === "") throw refused(`The Authorization header is not a complete AWS4-HMAC-SHA256 signature.`);
  if (service !== expected.service) {
    throw refused(`The signature is for the service "${service}", and this answers "${expected.service}" only.`);
  }
  const { signedAt, at } = readTime(request, date);
  const apartMs = Math.abs(expected.now.getTime() - at.getTime());
  if (apartMs > toleranceMs) {
    throw refused(
      `Signature expired or not yet valid: it was made at ${at.toISOString()}, and it is ${expected.now.toISOString()} here. Set the clock of your machine.`,
    );
  }
  const signedHeaders = names.split(";");
  checkSignedHeaders(request, signedHeaders);
  const stated = onlyHeader(request, "x-amz-content-sha256");
  if (stated !== undefined && stated !== hash("sha256", request.body, "hex")) {
    throw refused("The body is not the one that was signed: its SHA-256 is another.");
  }
  return {
    accessKeyId,
    scope: { date, region, service },
    signedAt,
    signature: Buffer.from(signature, "hex"),
    signedHeaders,
  };
}

/** The service that a request is signed for, whatever its signature is worth; `undefined` when that cannot be told. */
export function claimedService(authorizationHeader: string | undefined): string | undefined {
  return /^AWS4-[A-Z0-9-]+ +Credential=[^/, ]+\/\d{8}\/(?:[a-z0-9*-]+\/)?([a-z0-9-]+)\/aws4_request/.exec(
    authorizationHeader ?? "",
  )?.[1];
}

function readTime(request: SignedRequest, date: string): { signedAt: string; at: Date } {
  const signedAt = onlyHeader(request, "x-amz-date") ?? "";
  const at = dateOf(signedAt);
  if (Number.isNaN(at.getTime())) throw refused("X-Amz-Date is missing or not a time.");
  if (!signedAt.startsWith(date)) throw refused("The date of the signature's scope is not that of X-Amz-Date.");
  return { signedAt, at };
}

function checkSignedHeaders(request: SignedRequest, signed: readonly string[]): void {
  const needed = ["x-amz-date", ...alwaysSigned].filter((name) => headerValues(request, name).length > 0);
  const unsigned = needed.filter((name) => !signed.includes(name));
  if (unsigned.length > 0) throw refused(`These headers must be signed: ${unsigned.join(", ")}.`);
  if (signed.some((name) => headerValues(request, name).length === 0)) {
    throw refused("A header that was signed did not arrive. Does a proxy take it away?");
  }
  // The library that signs the request again makes these itself, and leaves this parameter out of what is signed.
  if (signed.some((name) => ["date", "authorization"].includes(name)))
    throw refused("The headers Date and Authorization cannot be signed: sign X-Amz-Date.");
  const [, ...query] = request.target.split("?");
  if (Object.keys(queryOf(query.join("?"))).some((name) => name.toLowerCase() === "x-amz-signature"))
    throw refused("The signature belongs into the Authorization header, not into the URL.");
}

const refused = (detail: string): Problem => new Problem("signature-refused", detail);

/**
 * The Signature Version 4 (32 bytes) of a request as it arrived, over the headers that its own signature names. The
 * library only signs, so a request is verified by signing it again. It is loaded by the first request of an AWS program:
 * that takes 0.1 s.
 * Source: AWS IAM User Guide, "Create a signed AWS API request".
 * @param presented - as `readSignature` gave it: what the library would leave out or replace is refused there
 */
export async function signatureOf(
  request: SignedRequest,
  {
    accessKeyId,
    scope,
    signedAt,
    signedHeaders,
  }: Pick<PresentedSignature, "accessKeyId" | "scope" | "signedAt" | "signedHeaders">,
  secretAccessKey: string,
): Promise<Buffer> {
  const { SignatureV4 } = await import("@smithy/signature-v4");
  const { region, service } = scope;
  const credentials = { accessKeyId, secretAccessKey };
  const signer = new SignatureV4({ credentials, region, service, sha256: NodeSha256, applyChecksum: false });
  const [path = "", ...query] = request.target.split("?");
  const signed = await signer.sign(
    {
      ...{ method: request.method, protocol: "https:", hostname: "", path, body: request.body },
      query: queryOf(query.join("?")),
      headers: Object.fromEntries(
        signedHeaders.map((name) => [name, headerValues(request, name).map(withSingleBlanks).join(",")]),
      ),
    },
    { signingDate: dateOf(signedAt), signableHeaders: new Set(signedHeaders) },
  );
  return Buffer.from(/Signature=([0-9a-f]{64})$/.exec(signed.headers.authorization ?? "")?.[1] ?? "", "hex");
}

/** @param signedAt - `YYYYMMDDThhmmssZ` */
export function dateOf(signedAt: string): Date {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(signedAt) ?? [];
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/** The parameters of a query, decoded. A `+` is a plus here, not a space. */
export function queryOf(query: string): Record<string, string[]> {
  const values = new Map<string, string[]>();
  for (const pair of query.split("&").filter((one) => one !== "")) {
    const [name = "", ...value] = pair.split("=");
    values.set(decoded(name), [...(values.get(decoded(name)) ?? []), decoded(value.join("="))]);
  }
  return Object.fromEntries(values);
}

const withSingleBlanks = (value: string): string => value.trim().replace(/\s+/g, " ");

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

type Bytes = string | ArrayBuffer | ArrayBufferView;

/** Node's SHA-256, and its HMAC, in the form that the library takes. */
class NodeSha256 {
  readonly #hash;

  constructor(secret?: Bytes) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(secret));
  }

  update(data: Bytes): void {
    this.#hash.update(bytesOf(data));
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    throw new Error("a sum is made once");
  }
}

function bytesOf(data: Bytes): Buffer {
  if (typeof data === "string") return Buffer.from(data, "utf8");
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
}
