import { constants, createHmac, generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { createTestCertificateAuthority } from "./certificates.js";
import { type CloudEndpoint, createCloudEndpoint, jsonReply } from "./clouds/cloud-endpoint.js";
import { listenForHosts } from "./clouds/tls-listener.js";
import { rsaKeyPair } from "./rsa-keys.js";

export type SigningKey = { kid: string; alg: string; privateKey: KeyObject; jwk: Record<string, unknown> };

/** An issuer of ID tokens that a test makes by hand, served over real TLS. */
export type TestIssuer = {
  /** Its `iss`. */
  url: string;
  /** The one that `sign` uses; `rotate` replaces it. */
  key: SigningKey;
  /** What `/jwks` answers; a test may put anything here. */
  keys: Record<string, unknown>[];
  /** What the discovery document says beside, or instead of, the usual. */
  discovery: Record<string, unknown>;
  /** Breaks, heals, holds and counts. */
  endpoint: CloudEndpoint;
  /** How often the keys were fetched. */
  fetches(): number;
  /** A token of this issuer with good times and its key. A claim of `undefined` is left out. */
  sign(claims?: Record<string, unknown>, header?: Record<string, unknown>, key?: SigningKey): string;
  /** Signs with a new key from now on. `keepOld`: the old one is published beside it. */
  rotate(options?: { keepOld?: boolean; publish?: boolean }): SigningKey;
};

export type TestIssuers = {
  of(host: string): TestIssuer;
  /** The value of `FACTORY_SECRETS_CONNECT_TO` that leads to them. */
  connectTo: string;
  /** What a client has to trust: the content of `FACTORY_SECRETS_CA_FILE`. */
  caPem: string;
  close(): Promise<void>;
};

export const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

/** Starts one issuer for each host name, all on one TLS port of 127.0.0.1. */
export async function startTestIssuers(hosts: readonly string[]): Promise<TestIssuers> {
  const authority = await createTestCertificateAuthority();
  const issuers = new Map(hosts.map((host) => [host, createTestIssuer(host)]));
  const listener = await listenForHosts(authority, (host) => issuers.get(host)?.endpoint);
  return {
    of(host) {
      const issuer = issuers.get(host);
      if (!issuer) throw new Error(`no issuer ${host} was started`);
      return issuer;
    },
    connectTo: hosts.map((host) => `${host}:443=127.0.0.1:${listener.port}`).join(","),
    caPem: authority.caPem,
    close: () => listener.close(),
  };
}

function createTestIssuer(host: string): TestIssuer {
  const url = `https://${host}`;
  const key = newSigningKey("RS256");
  const issuer: TestIssuer = {
    url,
    key,
    keys: [key.jwk],
    discovery: {},
    endpoint: createCloudEndpoint({
      name: host,
      throttled: () => jsonReply(429, {}),
      answer: ({ path }) => {
        if (path === "/.well-known/openid-configuration")
          return jsonReply(200, { issuer: url, jwks_uri: `${url}/jwks`, ...issuer.discovery });
        return path === "/jwks" ? jsonReply(200, { keys: issuer.keys }) : jsonReply(404, {});
      },
    }),
    fetches: () => issuer.endpoint.calls("GET /jwks"),
    sign: (claims = {}, header = {}, by = issuer.key) => {
      const times = { iat: nowSeconds(), nbf: nowSeconds(), exp: nowSeconds() + 300 };
      const usual = { iss: url, aud: "https://secrets.example.com", sub: "job", jti: randomUUID(), ...times };
      return signToken({ alg: by.alg, kid: by.kid, typ: "JWT", ...header }, { ...usual, ...claims }, by);
    },
    rotate: ({ keepOld = false, publish = true } = {}) => {
      const next = newSigningKey("RS256");
      if (publish) issuer.keys = keepOld ? [...issuer.keys, next.jwk] : [next.jwk];
      issuer.key = next;
      return next;
    },
  };
  return issuer;
}

export function newSigningKey(alg: string, kid: string = randomUUID(), modulusLength = 2_048): SigningKey {
  const { privateKey, publicKey } = keyPair(alg, modulusLength);
  return { kid, alg, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg, use: "sig" } };
}

function keyPair(alg: string, modulusLength: number): { privateKey: KeyObject; publicKey: KeyObject } {
  if (alg === "EdDSA") return generateKeyPairSync("ed25519");
  if (!alg.startsWith("ES")) return rsaKeyPair(modulusLength);
  return generateKeyPairSync("ec", {
    namedCurve: { ES256: "P-256", ES384: "P-384", ES512: "P-521" }[alg] ?? "P-256",
  });
}

export const base64url = (text: string): string => Buffer.from(text, "utf8").toString("base64url");

/** Signs whatever it is given. The text of a part may be given as it is, to write what no serialiser would. */
export function signToken(
  header: Record<string, unknown> | string,
  payload: Record<string, unknown> | string,
  { alg, privateKey }: Pick<SigningKey, "alg" | "privateKey">,
): string {
  const text = (part: Record<string, unknown> | string) => (typeof part === "string" ? part : JSON.stringify(part));
  const input = `${base64url(text(header))}.${base64url(text(payload))}`;
  return `${input}.${signatureOf(input, alg, privateKey)}`;
}

/** Signs the text of two parts, whatever they are. */
export function signatureOf(input: string, alg: string, key: KeyObject): string {
  const digest = alg === "EdDSA" ? null : `sha${alg.slice(-3)}`;
  const padding = alg.startsWith("PS") ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: -1 } : {};
  const options = alg.startsWith("ES") ? { key, dsaEncoding: "ieee-p1363" as const } : { key, ...padding };
  return sign(digest, Buffer.from(input), options).toString("base64url");
}

/** A token with a shared secret (HS256, HS384, HS512). */
export function hmacToken(alg: string, header: object, payload: object, secret: string | Buffer): string {
  const input = `${base64url(JSON.stringify({ alg, ...header }))}.${base64url(JSON.stringify(payload))}`;
  return `${input}.${createHmac(`sha${alg.slice(-3)}`, secret)
    .update(input)
    .digest("base64url")}`;
}
