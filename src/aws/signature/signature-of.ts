import { createHash, createHmac } from "node:crypto";
import type { PresentedSignature } from "./read-signature.js";
import { headerValues, type SignedRequest } from "./signed-request.js";

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
