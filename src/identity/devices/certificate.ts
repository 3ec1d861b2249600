import { hash, type KeyObject, X509Certificate as NodeCertificate } from "node:crypto";
import { createRequire } from "node:module";
import type { Extension, Name, X509Certificate } from "@peculiar/x509";
import { z } from "zod";

/** An X.509 certificate (RFC 5280) as far as the verification of a chain needs it. */
export type Certificate = {
  der: Buffer;
  /** SHA-256 of `der`, hexadecimal. */
  fingerprint: string;
  /** SHA-256 of the DER of the name, hexadecimal: equal names have equal hashes. */
  subjectHash: string;
  issuerHash: string;
  /** SHA-256 of subject and public key, hexadecimal: those of a CA stay when its certificate is renewed. */
  entity: string;
  /** The subject as people write it: `CN=..., OU=...`. */
  subject: string;
  /** Every CN and every OU, in their order. */
  commonNames: readonly string[];
  organizationalUnits: readonly string[];
  /** Lower-case hexadecimal without leading zeros. */
  serial: string;
  notBefore: Date;
  notAfter: Date;
  subjectKeyId: string | undefined;
  authorityKeyId: string | undefined;
  isCa: boolean;
  pathLength: number | undefined;
  /** The bits of `keyUsages`; `undefined` when the certificate does not say. */
  keyUsage: number | undefined;
  /** Object identifiers; `undefined` when the certificate does not say. */
  extendedKeyUsage: readonly string[] | undefined;
  /** The critical ones are all among those that are looked at here, and none restricts names or policies. */
  extensionsAreKnown: boolean;
  /** The hash that its issuer signed is not broken: SHA-256 or better. */
  hasStrongSignature: boolean;
  publicKey: KeyObject;
  /** Whether the key made this certificate's signature. */
  isSignedBy(key: KeyObject): boolean;
};

/** What a key may be used for: the bits of RFC 5280, 4.2.1.3, as `Certificate.keyUsage` has them. */
export const keyUsages = { digitalSignature: 1, keyCertSign: 32, cRLSign: 64 } as const;

/** More than any certificate needs, whatever its key; parsing takes time that grows with the size. */
export const maxCertificateBytes = 8 * 1024;

const nameConstraints = "2.5.29.30";
// Subject alternative name, basic constraints, key usage, extended key usage, certificate policies, key identifiers.
const known = new Set(["2.5.29.17", "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.32", "2.5.29.14", "2.5.29.35"]);
const commonName = "2.5.4.3";
const organizationalUnit = "2.5.4.11";

/** Reads a certificate from DER. @returns `undefined` when it is none, is too large, or says one thing twice */
export function readCertificate(der: Buffer): Certificate | undefined {
  if (der.length > maxCertificateBytes) return undefined;
  // That it cannot be loaded says nothing about the certificate.
  const library = x509();
  try {
    const node = new NodeCertificate(der);
    // Both readers must have seen the same certificate, and nothing behind it.
    if (!node.raw.equals(der)) return undefined;
    const certificate = new library.X509Certificate(der);
    if (!areSameTimes(node, certificate)) return undefined;
    const types = certificate.extensions.map(({ type }) => type);
    if (new Set(types).size !== types.length) return undefined;
    return describe(der, node, certificate);
  } catch {
    return undefined;
  }
}

// A time that is not written as RFC 5280 (4.1.2.5) has it, with an offset or without seconds, is another one to each reader.
function areSameTimes(node: NodeCertificate, { notBefore, notAfter }: X509Certificate): boolean {
  return Date.parse(node.validFrom) === notBefore.getTime() && Date.parse(node.validTo) === notAfter.getTime();
}

function describe(der: Buffer, node: NodeCertificate, certificate: X509Certificate): Certificate {
  const { extensions, subjectName } = certificate;
  const library = x509();
  const constraints = certificate.getExtension(library.BasicConstraintsExtension);
  return {
    der,
    fingerprint: hash("sha256", der),
    subjectHash: hashOf(subjectName),
    issuerHash: hashOf(certificate.issuerName),
    entity: hash("sha256", `${hashOf(subjectName)} ${hash("sha256", Buffer.from(certificate.publicKey.rawData))}`),
    subject: certificate.subject,
    commonNames: subjectName.getField(commonName),
    organizationalUnits: subjectName.getField(organizationalUnit),
    serial: normalSerial(certificate.serialNumber),
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    subjectKeyId: certificate.getExtension(library.SubjectKeyIdentifierExtension)?.keyId,
    authorityKeyId: certificate.getExtension(library.AuthorityKeyIdentifierExtension)?.keyId,
    isCa: constraints?.ca ?? false,
    pathLength: constraints?.pathLength,
    keyUsage: certificate.getExtension(library.KeyUsagesExtension)?.usages,
    extendedKeyUsage: certificate.getExtension(library.ExtendedKeyUsageExtension)?.usages.map(String),
    extensionsAreKnown: extensions.every(isKnown),
    hasStrongSignature: isStrongSignature(() => certificate.signatureAlgorithm),
    publicKey: node.publicKey,
    isSignedBy: (key) => node.verify(key),
  };
}

/** SHA-256 of the DER of a name, hexadecimal. */
export function hashOf(name: Name): string {
  return hash("sha256", Buffer.from(name.toArrayBuffer()));
}

/** A serial number as it is stored and compared. Colons, as OpenSSL prints them, are left out. */
export function normalSerial(hexadecimal: string): string {
  return hexadecimal
    .replaceAll(":", "")
    .toLowerCase()
    .replace(/^0+(?=.)/, "");
}

// RFC 5280, 4.2.1.10: whoever does not process name constraints must refuse, and they are critical wherever a CA keeps
// to the rule.
function isKnown({ type, critical }: Extension): boolean {
  return type !== nameConstraints && (!critical || known.has(type));
}

const StrongAlgorithm = z.union([
  z.object({ name: z.enum(["Ed25519", "EdDSA"]) }),
  z.object({
    name: z.enum(["RSASSA-PKCS1-v1_5", "RSA-PSS", "ECDSA"]),
    hash: z.object({ name: z.enum(["SHA-256", "SHA-384", "SHA-512"]) }),
  }),
]);

/**
 * Whether an algorithm signs what no one can forge.
 * @param algorithm - gives one in the terms of Web Cryptography; the library throws for one that it does not know
 */
export function isStrongSignature(algorithm: () => unknown): boolean {
  try {
    return StrongAlgorithm.safeParse(algorithm()).success;
  } catch {
    return false;
  }
}

const curves = new Set(["prime256v1", "secp384r1", "secp521r1"]);
const minRsaBits = 2048;
// Verifying with a larger modulus or exponent takes many times as long, and the sender does not pay for it. With an
// exponent of 1 every signature is its own message.
const maxRsaBits = 8192;
const minExponent = 3n;
const maxExponent = 0xffff_ffffn;

/**
 * Whether the key is one that is held safe: RSA of 2048 to 8192 bits with an exponent from 3 to 2^32-1, P-256, P-384,
 * P-521 or Ed25519.
 */
export function isStrongKey(key: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n, namedCurve = "" } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "rsa":
    case "rsa-pss":
      return (
        modulusLength >= minRsaBits &&
        modulusLength <= maxRsaBits &&
        publicExponent >= minExponent &&
        publicExponent <= maxExponent
      );
    case "ec":
      return curves.has(namedCurve);
    case "ed25519":
      return true;
    default:
      return false;
  }
}

// Nothing in it can be read in two ways: with blanks on both sides of a body that may hold blanks too, the time would
// grow with the third power of the text.
const block = /-----BEGIN ([A-Z0-9 ]+)-----(\s[A-Za-z0-9+/=\s]+)-----END \1-----/g;

/**
 * The DER bytes of the PEM blocks in a text (RFC 7468), in their order.
 * @returns `undefined` when there is none, or anything else in the text: another kind of block, or what is no PEM
 */
export function readPemBlocks(text: string, label: "CERTIFICATE" | "X509 CRL"): Buffer[] | undefined {
  const blocks = [...text.matchAll(block)];
  if (blocks.length === 0 || text.replace(block, "").trim() !== "") return undefined;
  const read = blocks.map(([, found, body]) => (found === label ? strictBase64(body ?? "") : undefined));
  return read.every((bytes) => bytes !== undefined) ? read : undefined;
}

/** Base64 with line breaks, and nothing that a lenient reader would skip. */
export function strictBase64(text: string): Buffer | undefined {
  const packed = text.replace(/\s+/g, "");
  const bytes = Buffer.from(packed, "base64");
  return bytes.length > 0 && bytes.toString("base64") === packed ? bytes : undefined;
}

type Library = typeof import("@peculiar/x509");

const load = createRequire(import.meta.url);
let loaded: Library | undefined;

/**
 * The library that reads certificates and revocation lists. Loading it is a third of the processor time of a start and
 * 16 MB, which a service that no device comes to can do without: it is loaded by the first call.
 */
export function x509(): Library {
  if (loaded !== undefined) return loaded;
  const library: Library = load("@peculiar/x509");
  loaded = library;
  return library;
}
