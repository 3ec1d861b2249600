import { readFile } from "node:fs/promises";
import { z } from "zod";
import { Problem } from "../../core/problem.js";
import { listOf, parseForeignJson } from "../../outbound/foreign-json.js";
import type { Outbound, OutboundReply } from "../../outbound/outbound.js";
import { EnvelopeError } from "../envelope.js";
import { type KeyEncryptionKey, KeyUnavailable, remoteKeyEncryptionKey } from "../key-encryption-key.js";
import type { KeyUri } from "../key-uri.js";

/** The first byte of what is stored; then the version of the Transit key (4 bytes) and the bytes it has sealed. */
const format = 3;
const headerBytes = 5;

/** The token itself, or the file that an agent keeps it in: read for each call, since the agent renews it. */
export type TransitToken = { kind: "text"; text: string } | { kind: "file"; path: string };

type TransitDeps = { outbound: Pick<Outbound, "request">; token: TransitToken | undefined };
type TransitUri = Extract<KeyUri, { kind: "transit" }>;

const EncryptReply = z.object({ data: z.object({ ciphertext: z.string() }) });
const DecryptReply = z.object({ data: z.object({ plaintext: z.string() }) });
const ErrorReply = z.object({ errors: listOf(z.string()) });

/**
 * A key of the Transit engine of HashiCorp Vault (1.13 or later) or OpenBao. The place of what is wrapped is its
 * associated data, which is why the key must be an AEAD one (`aes256-gcm96`, `chacha20-poly1305`) that is not derived.
 * Source: openbao.org/api-docs/secret/transit, Encrypt data and Decrypt data.
 */
export function transitKey(uri: TransitUri, deps: TransitDeps): KeyEncryptionKey {
  const { id, text: source, key } = uri;
  return remoteKeyEncryptionKey(
    { id, source },
    {
      async encrypt(context, plain) {
        const reply = await call(uri, deps, `encrypt/${key}`, {
          plaintext: plain.toString("base64"),
          associated_data: context.bytes.toString("base64"),
        });
        if (reply.status !== 200) throw new KeyUnavailable(`${source}: ${refusal(reply)}.`);
        return storedForm(source, parse(source, EncryptReply, reply).data.ciphertext);
      },
      async decrypt(context, sealed) {
        const reply = await call(uri, deps, `decrypt/${key}`, {
          ciphertext: transitForm(sealed),
          associated_data: context.bytes.toString("base64"),
        });
        // 400 is what the bytes or their place are to blame for, unless it says something of the key.
        if (reply.status === 400 && aboutKey(reply) === undefined) throw new EnvelopeError();
        if (reply.status !== 200) throw new KeyUnavailable(`${source}: ${refusal(reply)}.`);
        return Buffer.from(parse(source, DecryptReply, reply).data.plaintext, "base64");
      },
    },
  );
}

async function call(
  uri: TransitUri,
  { outbound, token }: TransitDeps,
  path: string,
  body: Record<string, string>,
): Promise<OutboundReply> {
  const headers = {
    "content-type": "application/json",
    "x-vault-request": "true",
    "x-vault-token": await readToken(uri.text, token),
    ...(uri.namespace !== undefined && { "x-vault-namespace": uri.namespace }),
  };
  try {
    const url = `${uri.origin}/v1/${uri.mount}/${path}`;
    return await outbound.request({ url, method: "POST", headers, body: JSON.stringify(body) });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    // What follows the first sentence is advice for a registry.
    throw new KeyUnavailable(`${uri.text}: ${error.detail.split(/\.(?: |$)/)[0]}.`, { cause: error });
  }
}

async function readToken(source: string, token: TransitToken | undefined): Promise<string> {
  if (token === undefined)
    throw new KeyUnavailable(`${source} needs a token: set FACTORY_SECRETS_TRANSIT_TOKEN or ..._TOKEN_FILE.`);
  if (token.kind === "text") return token.text;
  const text = await readFile(token.path, "utf8").then(
    (read) => read.trim(),
    () => "",
  );
  if (!/^[\x21-\x7e]+$/.test(text)) throw new KeyUnavailable(`${source}: there is no token in ${token.path}.`);
  return text;
}

/** `vault:v1:<base64>` as bytes. Of a text in base64 not every change changes what it says; of these bytes each does. */
function storedForm(source: string, ciphertext: string): Buffer {
  const [, version = "", text = ""] = /^vault:v([1-9]\d{0,8}):([A-Za-z0-9+/]+=*)$/.exec(ciphertext) ?? [];
  const bytes = Buffer.from(text, "base64");
  if (version === "" || bytes.toString("base64") !== text)
    throw new KeyUnavailable(`${source} answered with a ciphertext of a form that is not known.`);
  const header = Buffer.alloc(headerBytes);
  header[0] = format;
  header.writeUInt32BE(Number(version), 1);
  return Buffer.concat([header, bytes]);
}

function transitForm(sealed: Buffer): string {
  if (sealed.length <= headerBytes || sealed[0] !== format) throw new EnvelopeError();
  const version = sealed.readUInt32BE(1);
  // Transit takes 0 for 1, so that one byte could be changed and not be missed.
  if (version === 0) throw new EnvelopeError();
  return `vault:v${version}:${sealed.subarray(headerBytes).toString("base64")}`;
}

const aboutTheKey = [
  [/encryption key not found|soft.?deleted/i, "there is no such key"],
  [/disallowed by policy/, "its min_decryption_version is above the version that wrapped this. Lower it"],
] as const;

function aboutKey(reply: OutboundReply): string | undefined {
  return aboutTheKey.find(([pattern]) => errorsOf(reply).some((error) => pattern.test(error)))?.[1];
}

function refusal(reply: OutboundReply): string {
  switch (reply.status) {
    case 400:
      return (
        aboutKey(reply) ?? "the key cannot wrap. It must be of type aes256-gcm96 or chacha20-poly1305, and not derived"
      );
    case 403:
      return "the token is not valid, or its policy does not permit update on encrypt/ and decrypt/ of this key";
    case 404:
      return "there is no Transit engine at this mount";
    case 503:
      return "it is sealed, or in maintenance";
    default:
      return `it answered with the status ${reply.status}`;
  }
}

function errorsOf(reply: OutboundReply): string[] {
  return ErrorReply.safeParse(parseForeignJson(reply.body)).data?.errors ?? [];
}

function parse<T>(source: string, shape: z.ZodType<T>, reply: OutboundReply): T {
  const parsed = shape.safeParse(parseForeignJson(reply.body));
  if (!parsed.success) throw new KeyUnavailable(`${source} answered something that is not Transit's.`);
  return parsed.data;
}
