import { createPauses } from "../../core/pauses.js";
import { Problem } from "../../core/problem.js";
import { type Certificate, isStrongKey, readCertificate, readPemBlocks } from "./certificate.js";
import { failureOfIssuer } from "./verify-chain.js";

/** The certificates that a factory registers: a self-signed root and any intermediates. */
export type AuthorityCertificates = { root: Certificate; intermediates: readonly Certificate[] };

export const maxBundleCertificates = 8;

/**
 * Reads a bundle of PEM certificates, in any order.
 * @returns `undefined` when it is not made of certificates, one of them a self-signed root
 */
export function readAuthority(pem: string): AuthorityCertificates | undefined {
  const blocks = readPemBlocks(pem, "CERTIFICATE");
  const certificates = blocks?.map(readCertificate);
  if (!certificates?.every((certificate) => certificate !== undefined)) return undefined;
  const roots = certificates.filter(({ subjectHash, issuerHash }) => subjectHash === issuerHash);
  const [root, ...more] = roots;
  if (root === undefined || more.length > 0) return undefined;
  return { root, intermediates: certificates.filter((certificate) => certificate !== root) };
}

/**
 * Reads a bundle that somebody wants to register, and refuses one whose devices would all be refused.
 * @throws Problem `certificate-unsuitable` with the sentence that says what is wrong
 */
export async function readNewAuthority(pem: string, now: Date): Promise<AuthorityCertificates> {
  if (pem.includes("PRIVATE KEY")) {
    throw unsuitable("There is a private key in it. Keep that where it is made, and send certificates alone.");
  }
  // Counted before any is read: each takes a third of a millisecond, and hundreds of small ones fit in.
  const count = pem.split("-----BEGIN CERTIFICATE-----").length - 1;
  if (count > maxBundleCertificates) {
    throw unsuitable(`The bundle holds ${count} certificates; ${maxBundleCertificates} are taken.`);
  }
  const authority = readAuthority(pem);
  if (authority === undefined) {
    throw unsuitable(
      "Send PEM certificates and nothing else: one self-signed root and, if there are any, its intermediates.",
    );
  }
  const all = [authority.root, ...authority.intermediates];
  if (new Set(all.map(({ fingerprint }) => fingerprint)).size !== all.length) {
    throw unsuitable("The bundle holds a certificate twice.");
  }
  // Each key is looked at before any is used: verifying with a weak one can take long.
  for (const certificate of all) checkIssuer(certificate, now);
  const pause = createPauses();
  for (const certificate of all) {
    await pause();
    checkSignature(certificate, all);
  }
  return authority;
}

function checkIssuer(certificate: Certificate, now: Date): void {
  const name = `The certificate ${certificate.subject}`;
  if (failureOfIssuer(certificate, []) === "not-a-ca") {
    throw unsuitable(`${name} is not a CA: it needs basicConstraints CA:TRUE and, in keyUsage, keyCertSign.`);
  }
  if (failureOfIssuer(certificate, []) !== undefined) {
    throw unsuitable(`${name} is not for clients: its extendedKeyUsage lacks clientAuth.`);
  }
  if (!certificate.extensionsAreKnown) {
    throw unsuitable(`${name} has a critical extension that is not known here, or name constraints.`);
  }
  if (!isStrongKey(certificate.publicKey) || !certificate.hasStrongSignature) {
    throw unsuitable(
      `${name} is weak: the key must be RSA of 2048 to 8192 bits with an exponent from 3 to 2^32-1, P-256, P-384, P-521 or Ed25519, the hash SHA-256 or better.`,
    );
  }
  if (certificate.notAfter < now) throw unsuitable(`${name} has expired.`);
}

function checkSignature(certificate: Certificate, all: readonly Certificate[]): void {
  const issuers = all.filter(({ subjectHash }) => subjectHash === certificate.issuerHash);
  if (!issuers.some(({ publicKey }) => certificate.isSignedBy(publicKey))) {
    const { subject } = certificate;
    throw unsuitable(
      `The certificate ${subject} is signed by none of the bundle. Send the whole chain up to its root.`,
    );
  }
}

export const unsuitable = (sentence: string): Problem => new Problem("certificate-unsuitable", sentence);
