import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { PrismaClient } from "../../db/database.js";
import { DevicePolicy } from "./contract.js";
import type { Candidate } from "./lookup/store.js";
import { readStoredAuthority } from "./lookup/store.js";
import { type AuthorityCertificates, readAuthority } from "./read-authority.js";
import { type RevocationList, readRevocationList } from "./revocation-list.js";
import type { TrustAnchor } from "./verify-chain.js";

/** An authority as chains are verified by it, with its factory's generation in the snapshot that it was read in. */
export type RegisteredAnchor = TrustAnchor & { policy: DevicePolicy; generation: bigint };

/** Remembers authorities as long as nothing of their factory has changed. */
export class TrustAnchors {
  readonly #prisma: PrismaClient;
  readonly #anchors = new LRUCache<string, RegisteredAnchor>({ max: 1_000 });
  // A list is read in a tenth of a second, so it is not read again because something else of the factory has changed.
  readonly #lists = new LRUCache<string, RevocationList>({ max: 200 });

  constructor(prisma: PrismaClient) {
    this.#prisma = prisma;
  }

  /** The authority as it was when the candidate was read, or later; `undefined` when it is gone. */
  async of(candidate: Candidate): Promise<RegisteredAnchor | undefined> {
    const { id } = candidate.authority;
    const known = this.#anchors.get(id);
    if (known && known.generation >= candidate.generation) return known;
    const stored = await readStoredAuthority(this.#prisma, id);
    const certificates = stored && readAuthority(stored.certificates);
    if (!certificates) return undefined;
    const policy = DevicePolicy.parse(stored.policy);
    const anchor = {
      ...certificates,
      revocationLists: await this.readLists(certificates, stored.revocationLists),
      allowStaleRevocationLists: policy.allowStaleRevocationLists ?? false,
      policy,
      generation: stored.generation,
    };
    this.#anchors.set(id, anchor);
    return anchor;
  }

  /** The stored lists of an authority, read. @throws when one of them cannot be read: it could when it was stored */
  async readLists({ root, intermediates }: AuthorityCertificates, lists: readonly Buffer[]): Promise<RevocationList[]> {
    const read: RevocationList[] = [];
    for (const der of lists) {
      const key = `${root.fingerprint} ${hash("sha256", der)}`;
      const list = this.#lists.get(key) ?? (await readRevocationList(der, [root, ...intermediates]));
      if ("unsuitable" in list) throw new Error("a stored revocation list cannot be read");
      this.#lists.set(key, list);
      read.push(list);
    }
    return read;
  }
}
