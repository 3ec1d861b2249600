import { createHmac, hash } from "node:crypto";

/** What an access key is used for on one day. */
export type CredentialScope = {
  /** `YYYYMMDD`. */
  date: string;
  region: string;
  service: string;
};

export const signatureAlgorithm = "AWS4-HMAC-SHA256";
export const scopeEnd = "aws4_request";

/**
 * The Signature Version 4 of a canonical request: 32 bytes.
 * Source: AWS IAM User Guide, "Create a signed AWS API request".
 * @param signedAt - `YYYYMMDDThhmmssZ`
 */
export function computeSignature(
  secretAccessKey: string,
  scope: CredentialScope,
  signedAt: string,
  canonical: string,
): Buffer {
  const { date, region, service } = scope;
  const parts = [date, region, service, scopeEnd];
  const signingKey = parts.reduce(hmac, Buffer.from(`AWS4${secretAccessKey}`, "utf8"));
  const stringToSign = [signatureAlgorithm, signedAt, parts.join("/"), hash("sha256", canonical, "hex")].join("\n");
  return hmac(signingKey, stringToSign);
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text, "utf8").digest();
}
