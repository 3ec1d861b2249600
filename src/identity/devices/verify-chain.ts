import { createPauses } from "../../core/pauses.js";
import { type Certificate, isStrongKey, keyUsages } from "./certificate.js";
import type { RevocationList } from "./revocation-lists.js";

/** Why a certificate is refused. The audit of the factory names one of these; the device is told none. */
export const refusalReasons = [
  "unknown-authority",
  "bad-signature",
  "unknown-critical-extension",
  "weak-key",
  "not-a-ca",
  "path-too-long",
  "wrong-key-usage",
  "not-yet-valid",
  "expired",
  "revoked",
  "revocation-list-expired",
  "malformed-subject",
  "wrong-factory",
  "denied",
] as const;

export type RefusalReason = (typeof refusalReasons)[number];

/** What a factory has registered: a self-signed root, its intermediates, and what they have revoked. */
export type TrustAnchor = {
  root: Certificate;
  intermediates: readonly Certificate[];
  revocationLists: readonly RevocationList[];
  /** Go by a revocation list past its `nextUpdate`, rather than refuse everyone until there is a new one. */
  allowStaleRevocationLists: boolean;
};

/**
 * What is concluded holds until `validUntil`. `isGenuine`: the authority has made the refused certificate, so that what
 * stands in it is worth writing down.
 */
export type ChainVerdict = { ok: true; validUntil: Date } | { ok: false; reason: RefusalReason; isGenuine: boolean };

/** Most certificates between root and leaf. */
const maxIntermediates = 4;
/** Most ways up that are tried: names can be chosen so that there are many. */
const maxPaths = 16;
/** Most steps in looking for them: fifteen certificates of one name have 32,760 ways that lead nowhere. */
const maxSteps = 2_000;

/** Whether the issuer's key made the certificate's signature. False for a key with which others can sign as well. */
type SignatureCheck = (issuer: Certificate, certificate: Certificate) => Promise<boolean>;

/**
 * Checks each pair once, and lets others have a turn: a signature of RSA-8192 takes half a millisecond to verify, and the
 * paths of one certificate can have eighty.
 */
function createSignatureCheck(): SignatureCheck {
  const pause = createPauses();
  const checked = new Map<string, boolean>();
  return async (issuer, certificate) => {
    const pair = `${issuer.fingerprint} ${certificate.fingerprint}`;
    const known = checked.get(pair);
    if (known !== undefined) return known;
    await pause();
    const isSigned = isStrongKey(issuer.publicKey) && certificate.isSignedBy(issuer.publicKey);
    checked.set(pair, isSigned);
    return isSigned;
  };
}

/**
 * Verifies a certificate up to one registered root: RFC 5280, section 6, without policies and name constraints, whose
 * presence is refused.
 * @param presented - what came with the leaf; only what the root vouches for is believed
 */
export async function verifyChain(
  anchor: TrustAnchor,
  { leaf, presented, now }: { leaf: Certificate; presented: readonly Certificate[]; now: Date },
): Promise<ChainVerdict> {
  const pool = new Map([...anchor.intermediates, ...presented].map((one) => [one.fingerprint, one]));
  pool.delete(anchor.root.fingerprint);
  pool.delete(leaf.fingerprint);
  const search = { root: anchor.root, pool: [...pool.values()], stepsLeft: maxSteps };
  const paths = pathsUp(search, [leaf]).slice(0, maxPaths);
  const isSigned = createSignatureCheck();
  let refused: ChainVerdict = { ok: false, reason: "unknown-authority", isGenuine: false };
  for (const path of paths) {
    const reason = await failureOf(path, { anchor, now, isSigned });
    if (reason === undefined) return { ok: true, validUntil: validUntil(path, anchor) };
    // A forged certificate's faults say less than those of a genuine one.
    if (!refused.isGenuine) refused = { ok: false, reason, isGenuine: await isGenuine(path, isSigned) };
  }
  return refused;
}

async function isGenuine(path: readonly Certificate[], isSigned: SignatureCheck): Promise<boolean> {
  for (const [at, certificate] of path.entries()) {
    const issuer = path[at - 1];
    if (issuer && !(await isSigned(issuer, certificate))) return false;
  }
  return true;
}

// By names and key identifiers alone: signatures are verified from the root down, so that no key is used for which
// nobody vouched.
function pathsUp(
  search: { root: Certificate; pool: readonly Certificate[]; stepsLeft: number },
  below: readonly Certificate[],
): Certificate[][] {
  const { root, pool } = search;
  const [top] = below;
  if (!top || search.stepsLeft <= 0) return [];
  search.stepsLeft -= 1;
  const paths = couldHaveIssued(root, top) ? [[root, ...below]] : [];
  if (below.length > maxIntermediates) return paths;
  for (const candidate of pool) {
    if (paths.length >= maxPaths) break;
    if (below.includes(candidate) || !couldHaveIssued(candidate, top)) continue;
    paths.push(...pathsUp(search, [candidate, ...below]));
  }
  return paths;
}

function couldHaveIssued(issuer: Certificate, issued: Certificate): boolean {
  if (issuer.subjectHash !== issued.issuerHash) return false;
  const { subjectKeyId } = issuer;
  const { authorityKeyId } = issued;
  return subjectKeyId === undefined || authorityKeyId === undefined || subjectKeyId === authorityKeyId;
}

type Judging = { anchor: TrustAnchor; now: Date; isSigned: SignatureCheck };

async function failureOf(
  path: readonly Certificate[],
  { anchor, now, isSigned }: Judging,
): Promise<RefusalReason | undefined> {
  for (const [at, certificate] of path.entries()) {
    const issuer = path[at - 1];
    const reason =
      (issuer && (await failureOfSignature(certificate, issuer, isSigned))) ??
      failureOfCertificate(certificate, now) ??
      (at < path.length - 1 ? failureOfIssuer(certificate, path.slice(at + 1, -1)) : failureOfLeaf(certificate)) ??
      (issuer && failureOfRevocation(certificate, issuer, anchor, now));
    if (reason !== undefined) return reason;
  }
  return undefined;
}

async function failureOfSignature(
  certificate: Certificate,
  issuer: Certificate,
  isSigned: SignatureCheck,
): Promise<RefusalReason | undefined> {
  if (!certificate.hasStrongSignature) return "weak-key";
  return (await isSigned(issuer, certificate)) ? undefined : "bad-signature";
}

function failureOfCertificate(certificate: Certificate, now: Date): RefusalReason | undefined {
  if (!certificate.extensionsAreKnown) return "unknown-critical-extension";
  if (!isStrongKey(certificate.publicKey)) return "weak-key";
  if (now < certificate.notBefore) return "not-yet-valid";
  return now > certificate.notAfter ? "expired" : undefined;
}

/**
 * What keeps a certificate from issuing others.
 * @param below - the intermediates between it and the leaf
 */
export function failureOfIssuer(ca: Certificate, below: readonly Certificate[]): RefusalReason | undefined {
  if (!ca.isCa || !allows(ca, keyUsages.keyCertSign)) return "not-a-ca";
  if (!isForClients(ca)) return "wrong-key-usage";
  const counted = below.filter(({ subjectHash, issuerHash }) => subjectHash !== issuerHash).length;
  return ca.pathLength !== undefined && counted > ca.pathLength ? "path-too-long" : undefined;
}

function failureOfLeaf(leaf: Certificate): RefusalReason | undefined {
  const isSigner = allows(leaf, keyUsages.digitalSignature);
  return !leaf.isCa && isSigner && isForClients(leaf) ? undefined : "wrong-key-usage";
}

function failureOfRevocation(
  certificate: Certificate,
  issuer: Certificate,
  anchor: TrustAnchor,
  now: Date,
): RefusalReason | undefined {
  const list = anchor.revocationLists.find(({ issuerEntity }) => issuerEntity === issuer.entity);
  if (list === undefined) return undefined;
  if (list.revoked.has(certificate.serial)) return "revoked";
  return now > list.nextUpdate && !anchor.allowStaleRevocationLists ? "revocation-list-expired" : undefined;
}

/** Whether the certificate's key may be used so. One that does not say may be used for everything: RFC 5280, 4.2.1.3. */
export function allows({ keyUsage }: Certificate, flag: number): boolean {
  return keyUsage === undefined || (keyUsage & flag) !== 0;
}

const clientAuth = "1.3.6.1.5.5.7.3.2";

function isForClients({ extendedKeyUsage }: Certificate): boolean {
  return extendedKeyUsage === undefined || extendedKeyUsage.includes(clientAuth);
}

function validUntil(path: readonly Certificate[], anchor: TrustAnchor): Date {
  const issuers = new Set(path.map(({ entity }) => entity));
  const lists = anchor.allowStaleRevocationLists
    ? []
    : anchor.revocationLists.filter(({ issuerEntity }) => issuers.has(issuerEntity));
  const ends = [...path.map(({ notAfter }) => notAfter), ...lists.map(({ nextUpdate }) => nextUpdate)];
  return new Date(Math.min(...ends.map((end) => end.getTime())));
}
