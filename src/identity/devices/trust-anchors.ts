import { LRUCache } from "lru-cache";
import type { PrismaClient } from "../../db/database.js";
import { DevicePolicy } from "./contract.js";
import { readAuthority } from "./read-authority.js";
import { type Candidate, readStoredAuthority } from "./remembered-devices.js";
import type { RevocationLists } from "./revocation-lists.js";
import type { TrustAnchor } from "./verify-chain.js";

/** An authority as chains are verified by it, with its factory's generation in the snapshot that it was read in. */
export type RegisteredAnchor = TrustAnchor & { policy: DevicePolicy; generation: bigint };

/** Remembers authorities as long as nothing of their factory has changed. */
export class TrustAnchors {
  readonly #prisma: PrismaClient;
  readonly #anchors = new LRUCache<string, RegisteredAnchor>({ max: 1_000 });
  readonly #lists: RevocationLists;

  constructor(prisma: PrismaClient, lists: RevocationLists) {
    this.#prisma = prisma;
    this.#lists = lists;
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
      revocationLists: await this.#lists.readStored(candidate.factory.id, certificates, stored.revocationLists),
      allowStaleRevocationLists: policy.allowStaleRevocationLists ?? false,
      policy,
      generation: stored.generation,
    };
    this.#anchors.set(id, anchor);
    return anchor;
  }
}
