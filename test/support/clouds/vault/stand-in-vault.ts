import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import {
  type CloudEndpoint,
  type CloudReply,
  type CloudRequest,
  createCloudEndpoint,
  headerOf,
  jsonReply,
} from "../cloud-endpoint.js";
import type { EndpointRegister } from "../endpoint-register.js";

export const vaultHost = "vault.example.com";

type TransitKey = {
  versions: Buffer[];
  minDecryptionVersion: number;
  type: "aes256-gcm96" | "rsa-4096";
  derived: boolean;
};

/** HashiCorp Vault or OpenBao with Transit engines. A key is named by namespace, mount and name. */
export type StandInVault = {
  endpoint: CloudEndpoint;
  /** Tokens that may use every key. */
  tokens: Set<string>;
  keys: Map<string, TransitKey>;
  /** Makes a key, or a new version of one. */
  rotate(path: string, kind?: Partial<Pick<TransitKey, "type" | "derived">>): void;
  /** As releases before 1.13 do: what they do not know they ignore. */
  ignoresAssociatedData: boolean;
  sealed: boolean;
};

/**
 * Answers encrypt/ and decrypt/ of the Transit engine with AES-256-GCM.
 * Source: openbao.org/api-docs/secret/transit; builtin/logical/transit of both projects.
 */
export function createStandInVault(register: EndpointRegister): StandInVault {
  const vault: StandInVault = {
    endpoint: createCloudEndpoint({
      name: "Vault",
      operationOf: (request) => /\/(encrypt|decrypt)\//.exec(request.path)?.[1] ?? request.path,
      answer: (request) => answer(vault, request),
      throttled: () => jsonReply(429, { errors: ["request path: rate limit quota exceeded"] }),
    }),
    tokens: new Set(),
    keys: new Map(),
    rotate(path, { type = "aes256-gcm96", derived = false } = {}) {
      const key = vault.keys.get(path) ?? { versions: [], minDecryptionVersion: 0, type, derived };
      key.versions.push(randomBytes(32));
      vault.keys.set(path, key);
    },
    ignoresAssociatedData: false,
    sealed: false,
  };
  register.add([vaultHost], vault.endpoint);
  return vault;
}

const errors = (status: number, ...texts: string[]): CloudReply => jsonReply(status, { errors: texts });

function answer(vault: StandInVault, request: CloudRequest): CloudReply {
  if (vault.sealed) return errors(503, "Vault is sealed");
  if (!vault.tokens.has(headerOf(request, "x-vault-token") ?? "")) return errors(403, "permission denied");
  const [, mount = "", operation = "", name = ""] = /^\/v1\/(.+)\/(encrypt|decrypt)\/([^/]+)$/.exec(request.path) ?? [];
  if (request.method !== "POST" || operation === "") return errors(404, `no handler for route "${request.path}"`);
  const namespace = headerOf(request, "x-vault-namespace");
  const key = vault.keys.get(`${namespace === undefined ? "" : `${namespace}/`}${mount}/${name}`);
  if (!key)
    return errors(
      operation === "decrypt" ? 400 : 403,
      operation === "decrypt" ? "encryption key not found" : "permission denied",
    );
  const body: Record<string, string> = JSON.parse(request.body);
  if (key.derived) return errors(400, "missing 'context' for key derivation; the key was created using a derived key");
  const associated = vault.ignoresAssociatedData ? "" : (body.associated_data ?? "");
  if (associated !== "" && key.type === "rsa-4096")
    return errors(400, "'[0].associated_data' provided for non-AEAD cipher suite rsa-4096");
  const aad = Buffer.from(associated, "base64");
  const data =
    operation === "encrypt" ? encrypt(key, aad, body.plaintext ?? "") : decrypt(key, aad, body.ciphertext ?? "");
  if (typeof data === "string") return errors(400, data);
  return jsonReply(200, { request_id: randomUUID(), lease_id: "", renewable: false, lease_duration: 0, data });
}

function encrypt({ versions }: TransitKey, aad: Buffer, plaintext: string) {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", versions.at(-1) ?? Buffer.alloc(32), nonce);
  cipher.setAAD(aad);
  const sealed = [nonce, cipher.update(Buffer.from(plaintext, "base64")), cipher.final(), cipher.getAuthTag()];
  const text = Buffer.concat(sealed).toString("base64");
  return { ciphertext: `vault:v${versions.length}:${text}`, key_version: versions.length };
}

function decrypt({ versions, minDecryptionVersion }: TransitKey, aad: Buffer, ciphertext: string) {
  const [, version = "", text = ""] = /^vault:v(\d+):(.+)$/.exec(ciphertext) ?? [];
  // As the real ones do: they once began to count at 0.
  const key = versions[Math.max(Number(version), 1) - 1];
  if (text === "") return "invalid ciphertext: no prefix";
  if (!key) return "invalid ciphertext: version is too new";
  if (Number(version) < minDecryptionVersion)
    return "ciphertext or signature version is disallowed by policy (too old)";
  const bytes = Buffer.from(text, "base64");
  if (bytes.length < 28) return "invalid ciphertext length";
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12));
    decipher.setAAD(aad);
    decipher.setAuthTag(bytes.subarray(-16));
    const plain = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
    return { plaintext: plain.toString("base64") };
  } catch {
    return "invalid ciphertext: unable to decrypt";
  }
}
