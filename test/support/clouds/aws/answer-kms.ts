import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import type { Clock } from "../clock.js";
import { type CloudReply, type CloudRequest, headerOf } from "../cloud-endpoint.js";
import type { IamDirectory } from "./iam-directory.js";
import { verifySigV4 } from "./verify-sigv4.js";

/** What was done with a key: the operation, the key, and the encryption context that came with it. */
export type KmsUse = { operation: string; arn: string; context: Readonly<Record<string, string>> };

/** The symmetric keys of an account's KMS. */
export class KmsKeys {
  readonly #keys = new Map<string, { bytes: Buffer; state: "enabled" | "disabled" | "pending-deletion" }>();
  /** All that was done so far. */
  readonly uses: KmsUse[] = [];

  /** Makes a key. @returns its ARN */
  add(accountId: string, region: string): string {
    const arn = `arn:aws:kms:${region}:${accountId}:key/${randomUUID()}`;
    this.#keys.set(arn, { bytes: randomBytes(32), state: "enabled" });
    return arn;
  }

  find(arn: string) {
    return this.#keys.get(arn);
  }

  setState(arn: string, state: "enabled" | "disabled" | "pending-deletion"): void {
    const key = this.#keys.get(arn);
    if (key) key.state = state;
  }

  /** Other bytes under the same ARN: what no KMS does, and what a wrong key looks like. */
  replaceBytes(arn: string): void {
    const key = this.#keys.get(arn);
    if (key) key.bytes = randomBytes(32);
  }
}

type KmsDeps = { iam: IamDirectory; clock: Clock; keys: KmsKeys; region: string };

class KmsError extends Error {
  constructor(
    readonly type: string,
    message: string,
  ) {
    super(message);
  }
}

/**
 * Answers `Encrypt` and `Decrypt` of AWS KMS (JSON 1.1) with AES-256-GCM, the encryption context as associated data.
 * Source: AWS KMS API Reference; AWS KMS Cryptographic Details.
 */
export function answerKms(deps: KmsDeps, request: CloudRequest): CloudReply {
  try {
    const operation = /^TrentService\.(Encrypt|Decrypt)$/.exec(headerOf(request, "x-amz-target") ?? "")?.[1];
    if (request.method !== "POST" || request.path !== "/" || operation === undefined)
      throw new KmsError("UnknownOperationException", "The operation is not known here.");
    if (headerOf(request, "content-type") !== "application/x-amz-json-1.1")
      throw new KmsError("SerializationException", "application/x-amz-json-1.1 is expected.");
    const principal = authenticate(deps, request);
    const body: Record<string, unknown> = JSON.parse(request.body);
    const arn = String(body.KeyId);
    const key = deps.keys.find(arn);
    if (!deps.iam.allows(principal, `kms:${operation}`, arn))
      throw new KmsError(
        "AccessDeniedException",
        `User: ${principal.arn} is not authorized to perform: kms:${operation}`,
      );
    if (!key) throw new KmsError("NotFoundException", `Key '${arn}' does not exist`);
    if (key.state === "disabled") throw new KmsError("DisabledException", `${arn} is disabled.`);
    if (key.state !== "enabled") throw new KmsError("KMSInvalidStateException", `${arn} is pending deletion.`);
    const context = contextOf(body.EncryptionContext);
    deps.keys.uses.push({ operation, arn, context });
    if (operation === "Encrypt") return reply(200, encrypt(arn, key.bytes, context, bytesOf(body.Plaintext)));
    return reply(200, decrypt(arn, key.bytes, context, bytesOf(body.CiphertextBlob)));
  } catch (error) {
    if (error instanceof KmsError) return kmsError(error.type, error.message);
    throw error;
  }
}

/** Answered when KMS is called too often; the SDK retries it. */
export function throttledKms(): CloudReply {
  return kmsError("ThrottlingException", "You have exceeded the rate at which you may call KMS.");
}

function authenticate({ iam, clock, region }: KmsDeps, request: CloudRequest) {
  const expected = { service: "kms", region, now: clock.now(), keyOf: (id: string) => iam.keyOf(id) };
  const verdict = verifySigV4(request, expected);
  if (!verdict.ok) {
    const type = verdict.reason === "unknown-key" ? "UnrecognizedClientException" : "InvalidSignatureException";
    throw new KmsError(verdict.reason === "missing" ? "MissingAuthenticationTokenException" : type, verdict.message);
  }
  const principal = iam.keyOf(verdict.accessKeyId)?.principal;
  if (!principal) throw new KmsError("UnrecognizedClientException", "The security token is invalid.");
  return principal;
}

// The blob names the key that made it, as KMS's does.
function encrypt(arn: string, key: Buffer, context: Record<string, string>, plain: Buffer) {
  if (plain.length === 0 || plain.length > 4_096) throw new KmsError("ValidationException", "1 to 4096 bytes.");
  const header = Buffer.from(arn.slice(-36).replaceAll("-", ""), "hex");
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.concat([header, associatedData(context)]));
  const blob = Buffer.concat([header, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return { KeyId: arn, CiphertextBlob: blob.toString("base64"), EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
}

function decrypt(arn: string, key: Buffer, context: Record<string, string>, blob: Buffer) {
  const header = blob.subarray(0, 16);
  if (blob.length < 44) throw new KmsError("InvalidCiphertextException", "");
  if (header.toString("hex") !== arn.slice(-36).replaceAll("-", ""))
    throw new KmsError("IncorrectKeyException", "The key ID in the request does not identify a CMK that can decrypt.");
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, blob.subarray(16, 28));
    decipher.setAAD(Buffer.concat([header, associatedData(context)]));
    decipher.setAuthTag(blob.subarray(-16));
    const plain = Buffer.concat([decipher.update(blob.subarray(28, -16)), decipher.final()]);
    return { KeyId: arn, Plaintext: plain.toString("base64"), EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
  } catch {
    throw new KmsError("InvalidCiphertextException", "");
  }
}

const associatedData = (context: Record<string, string>): Buffer =>
  Buffer.from(JSON.stringify(Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))));

function contextOf(value: unknown): Record<string, string> {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  if (!entries.every(([, text]) => typeof text === "string"))
    throw new KmsError("SerializationException", "Texts are expected in the encryption context.");
  return Object.fromEntries(entries.map(([name, text]) => [name, String(text)]));
}

const bytesOf = (value: unknown): Buffer => Buffer.from(typeof value === "string" ? value : "", "base64");

const kmsError = (type: string, message: string): CloudReply => reply(400, { __type: type, message });

function reply(status: number, body: Record<string, unknown>): CloudReply {
  return {
    status,
    headers: { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": randomUUID() },
    body: JSON.stringify(body),
  };
}
