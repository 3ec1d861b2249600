import { hash } from "node:crypto";
import type { X509Crl } from "@peculiar/x509";
import { LRUCache } from "lru-cache";
import { Problem } from "../../core/problem.js";
import {
  type Certificate,
  hashOf,
  isStrongKey,
  isStrongSignature,
  keyUsages,
  normalSerial,
  readCertificate,
  x509,
} from "./certificate.js";
import type { AuthorityCertificates } from "./read-authority.js";
import { allows } from "./verify-chain.js";

/** Reads revocation lists, and remembers those that are stored. */
export class RevocationLists {
  readonly #reader: RevocationListReader;
  // By root and list, so it is not read again because something else of the factory has changed. Those who ask together
  // share one reading: many devices come at once after a start.
  readonly #lists = new LRUCache<string, Promise<RevocationList>>({ max: 200 });

  constructor(reader: RevocationListReader) {
    this.#reader = reader;
  }

  /**
   * A list that somebody uploads, verified by the certificates of an authority.
   * @returns the list, or the sentence that says why it cannot be used
   * @throws Problem as `RevocationListReader` does
   */
  async read(
    factoryId: string,
    { root, intermediates }: AuthorityCertificates,
    der: Buffer,
  ): Promise<RevocationList | { unsuitable: string }> {
    const issuers = [root, ...intermediates].map((issuer) => issuer.der);
    const read = await this.#reader.readRevocationList(factoryId, der, issuers);
    return "unsuitable" in read ? read : { ...read, der };
  }

  /**
   * The stored lists of an authority.
   * @throws Error when one of them cannot be read: it could when it was stored; Problem `too-many-requests`, `unavailable`
   */
  async readStored(
    factoryId: string,
    authority: AuthorityCertificates,
    lists: readonly Uint8Array[],
  ): Promise<RevocationList[]> {
    const read: RevocationList[] = [];
    // One after the other: a factory has a place for each authority in the queue of documents.
    for (const list of lists) read.push(await this.#stored(factoryId, authority, Buffer.from(list)));
    return read;
  }

  #stored(factoryId: string, authority: AuthorityCertificates, der: Buffer): Promise<RevocationList> {
    const key = `${authority.root.fingerprint} ${hash("sha256", der)}`;
    const known = this.#lists.get(key);
    if (known) return known;
    const reading = this.#readStored(factoryId, authority, der);
    this.#lists.set(key, reading);
    reading.catch(() => this.#lists.delete(key));
    return reading;
  }

  async #readStored(factoryId: string, authority: AuthorityCertificates, der: Buffer): Promise<RevocationList> {
    const list = await this.read(factoryId, authority, der).catch((error: unknown) => {
      throw error instanceof Problem && error.code === "certificate-unsuitable" ? unreadable(error) : error;
    });
    if ("unsuitable" in list) throw unreadable();
    return list;
  }
}

const unreadable = (cause?: unknown): Error => new Error("a stored revocation list cannot be read", { cause });

/** A certificate revocation list (RFC 5280, section 5) whose signature was verified, as it travels between threads. */
export type ListContent = {
  /** Of the registered certificate whose key signed it. */
  issuerFingerprint: string;
  /** `entity` of that certificate: what it revoked stays revoked below any other certificate of the same CA. */
  issuerEntity: string;
  /** The issuer as people write it. */
  issuer: string;
  /** The CRL number: a later list has a higher one. */
  number: bigint;
  thisUpdate: Date;
  nextUpdate: Date;
  /** Serial numbers as `normalSerial` gives them. */
  revoked: ReadonlySet<string>;
};

export type RevocationList = ListContent & { der: Buffer };

/** Reads lists beside the event loop: one takes a tenth of a second. */
export type RevocationListReader = {
  /**
   * As `readRevocationList`.
   * @throws Problem `too-many-requests` when too many documents of this factory wait, `certificate-unsuitable` when the
   *   list takes too much time or memory, `unavailable`
   */
  readRevocationList(
    factoryId: string,
    list: Uint8Array,
    issuers: readonly Uint8Array[],
  ): Promise<ListContent | { unsuitable: string }>;
};

/** The library takes this many or a few thousand entries, depending on what each says, and then refuses. */
export const maxRevocationListBytes = 128 * 1024;

const crlNumber = "2.5.29.20";
const authorityKeyIdentifier = "2.5.29.35";
const known = new Set([crlNumber, authorityKeyIdentifier]);

/**
 * Reads a list and verifies it by the certificates of an authority. It holds its thread for a tenth of a second.
 * @param der - the list; its entries name serial numbers of one issuer
 * @param issuers - DER of the certificates
 * @returns the list, or the sentence that says why it cannot be used
 */
export async function readRevocationList(
  der: Uint8Array,
  issuers: readonly Uint8Array[],
): Promise<ListContent | { unsuitable: string }> {
  // That it cannot be loaded says nothing about the list.
  const library = x509();
  let crl: X509Crl;
  try {
    crl = new library.X509Crl(Buffer.from(der));
  } catch {
    return { unsuitable: "This is no revocation list, or one with more entries than can be read (about 1,400)." };
  }
  if (!isStrongSignature(() => crl.signatureAlgorithm)) {
    return { unsuitable: "The list is signed with a hash that can be forged. Sign it with SHA-256 or better." };
  }
  const { nextUpdate } = crl;
  const number = numberOf(crl);
  if (nextUpdate === undefined || number === undefined) {
    return { unsuitable: "The list lacks nextUpdate or its CRL number, by which a later one is known." };
  }
  if (!hasKnownExtensions(crl)) {
    return {
      unsuitable: "The list is a partial one (delta, indirect or by distribution point). Upload the whole list.",
    };
  }
  const certificates = issuers.map((issuer) => readCertificate(Buffer.from(issuer)));
  const issuer = await issuerOf(
    crl,
    certificates.filter((certificate) => certificate !== undefined),
  );
  if (issuer === undefined) {
    return { unsuitable: "No certificate of this authority has signed the list. Register its issuer in the bundle." };
  }
  return {
    issuerFingerprint: issuer.fingerprint,
    issuerEntity: issuer.entity,
    issuer: issuer.subject,
    number,
    thisUpdate: crl.thisUpdate,
    nextUpdate,
    revoked: new Set(crl.entries.map(({ serialNumber }) => normalSerial(serialNumber))),
  };
}

function numberOf(crl: X509Crl): bigint | undefined {
  const value = crl.getExtension(crlNumber)?.value;
  if (value === undefined) return undefined;
  // INTEGER, 20 octets at most (5.2.3): one byte of length.
  const bytes = Buffer.from(value);
  const isInteger = bytes[0] === 0x02 && bytes[1] === bytes.length - 2 && bytes.length > 2 && bytes.length <= 23;
  return isInteger ? BigInt(`0x${bytes.subarray(2).toString("hex")}`) : undefined;
}

// An entry's certificate issuer makes the list indirect: critical, like everything else that changes what an entry says.
function hasKnownExtensions(crl: X509Crl): boolean {
  const isPartial = crl.extensions.some(({ type, critical }) => critical && !known.has(type));
  return !isPartial && crl.entries.every(({ extensions }) => extensions.every(({ critical }) => !critical));
}

async function issuerOf(crl: X509Crl, issuers: readonly Certificate[]): Promise<Certificate | undefined> {
  const name = hashOf(crl.issuerName);
  for (const issuer of issuers) {
    const mayHaveSigned = issuer.subjectHash === name && allows(issuer, keyUsages.cRLSign);
    if (mayHaveSigned && isStrongKey(issuer.publicKey) && (await isSignedBy(crl, issuer))) return issuer;
  }
  return undefined;
}

async function isSignedBy(crl: X509Crl, issuer: Certificate): Promise<boolean> {
  try {
    const { PublicKey } = x509();
    return await crl.verify({ publicKey: new PublicKey(issuer.publicKey.export({ type: "spki", format: "der" })) });
  } catch {
    return false;
  }
}
