import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { Problem } from "../../core/problem.js";
import type { AuthorityCertificates } from "./read-authority.js";
import type { RevocationList, RevocationListReader } from "./revocation-list.js";

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
