import { randomBytes, randomUUID, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto);

const dayMs = 86_400_000;
const clientAuth = "1.3.6.1.5.5.7.3.2";
const ec = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A certificate and its private key. */
export type Issued = {
  certificate: x509.X509Certificate;
  keys: CryptoKeyPair;
  pem: string;
  keyPem: string;
  /** Hexadecimal, as it is issued. */
  serial: string;
};

type CryptoKeyPair = webcrypto.CryptoKeyPair;

/** What a certificate is made of, where it is not an ordinary one. */
export type Making = {
  subject?: x509.JsonName;
  algorithm?: Parameters<typeof webcrypto.subtle.generateKey>[0] & { name: string; hash?: string };
  /** Of the signature: the issuer's. */
  hash?: string;
  keys?: CryptoKeyPair;
  extensions?: x509.Extension[];
  /** Instead of the ordinary ones. */
  onlyExtensions?: x509.Extension[];
  notBefore?: Date;
  notAfter?: Date;
};

const isCa = (pathLength?: number) => [
  new x509.BasicConstraintsExtension(true, pathLength, true),
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
];

/** A self-signed root for devices. */
export function makeRoot(name = `devices ${randomBytes(4).toString("hex")}`, making: Making = {}): Promise<Issued> {
  return issue(undefined, { subject: [{ CN: [name] }], onlyExtensions: isCa(), ...making });
}

/** A CA below another. */
export function makeIntermediate(issuer: Issued, making: Making & { pathLength?: number } = {}): Promise<Issued> {
  const subject = [{ CN: [`intermediate ${randomBytes(4).toString("hex")}`] }];
  return issue(issuer, { subject, onlyExtensions: isCa(making.pathLength), ...making });
}

/** The certificate of a device: its UUID as CN, its factory as OU. */
export function makeDevice(issuer: Issued, factory: string, making: Making = {}): Promise<Issued & { id: string }> {
  const id = randomUUID();
  const subject = [{ CN: [id] }, { OU: [factory] }];
  return issue(issuer, { subject, ...making }).then((issued) => ({ ...issued, id }));
}

/** A revocation list of the issuer, signed by it. */
export async function makeRevocationList(
  issuer: Issued,
  revoked: readonly string[],
  making: { number?: number; nextUpdate?: Date } = {},
): Promise<Buffer> {
  const number = new x509.Extension("2.5.29.20", false, new Uint8Array([0x02, 0x01, making.number ?? 1]));
  const crl = await x509.X509CrlGenerator.create({
    issuer: issuer.certificate.subjectName.toJSON(),
    thisUpdate: new Date(Date.now() - 120_000),
    nextUpdate: making.nextUpdate ?? new Date(Date.now() + dayMs),
    entries: revoked.map((serialNumber) => ({ serialNumber, revocationDate: new Date(Date.now() - 60_000) })),
    extensions: [number],
    signingAlgorithm: ec,
    signingKey: issuer.keys.privateKey,
  });
  return Buffer.from(crl.rawData);
}

async function issue(issuer: Issued | undefined, making: Making): Promise<Issued> {
  const algorithm = making.algorithm ?? ec;
  const keys = making.keys ?? (await generate(algorithm));
  // The first digit keeps the DER integer positive and of full length.
  const serial = `4${randomBytes(8).toString("hex").slice(1)}`;
  const signing = issuer?.keys.privateKey ?? keys.privateKey;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: making.subject ?? [],
    issuer: issuer?.certificate.subjectName.toJSON() ?? making.subject ?? [],
    serialNumber: serial,
    notBefore: making.notBefore ?? new Date(Date.now() - 60_000),
    notAfter: making.notAfter ?? new Date(Date.now() + dayMs),
    signingAlgorithm: { ...signing.algorithm, hash: making.hash ?? "SHA-256" },
    publicKey: keys.publicKey,
    signingKey: signing,
    extensions: [...(making.onlyExtensions ?? ofDevice()), ...(making.extensions ?? [])],
  });
  const keyPem = x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  return { certificate, keys, pem: certificate.toString("pem"), keyPem, serial };
}

const ofDevice = () => [
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
  new x509.ExtendedKeyUsageExtension([clientAuth]),
];

async function generate(algorithm: NonNullable<Making["algorithm"]>): Promise<CryptoKeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  if (!("privateKey" in keys)) throw new Error("this algorithm has no key pair");
  return keys;
}
