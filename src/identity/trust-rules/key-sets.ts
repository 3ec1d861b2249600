import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { parseForeignJson, replyText } from "../../outbound/foreign-json.js";
import type { Outbound } from "../../outbound/outbound.js";
import type { SignatureAlgorithm } from "./contract.js";
import { findKey, type IgnoredKey, type KeySet, parseKeySet } from "./web-keys.js";

/** One factory's view of one source. Nothing is shared between factories: what one makes of an issuer touches no other. */
type Known = {
  source: KeySource;
  /** The last that was got; absent until the first time. */
  got?: FetchedKeySet & { atMs: number };
  usedAtMs: number;
  triedAtMs: number;
  hasFailed: boolean;
  /** The fetch that is under way: everybody waits for the same. */
  fetching?: Promise<void>;
};

type KeySetsDeps = {
  outbound: Pick<Outbound, "request">;
  nowMs: () => number;
  /** Told of each failed fetch. `source` is what the rule says. */
  onFailure: (failure: { source: string; error: unknown }) => void;
};

/** A key, or why there is none. The revision is that of the set in which it was found. */
export type FoundKey =
  | { key: NonNullable<Awaited<ReturnType<typeof findKey>>>; revision: string }
  | "key-unknown"
  | "issuer-unreachable";

const maxSources = 1_000;
/** Between two fetches that an unknown `kid` asks for. */
const unknownKeyMs = 30_000;
/** After a failure: nobody waits for a dead issuer again and again. */
const failurePauseMs = 10_000;
const refreshMs = 600_000;
/** How long the last good set outlives an outage; and how long after its last use a set is kept fresh. */
const keepMs = 3_600_000;
const sweepMs = 30_000;

/**
 * The key sets of issuers, each kept for one factory and one configured source, never for an issuer's name or a `kid`
 * alone. Sets in use are refreshed in the background, so that neither a new key nor a withdrawn one waits for a token.
 */
export class KeySets {
  readonly #deps: KeySetsDeps;
  readonly #known = new LRUCache<string, Known>({ max: maxSources });
  readonly #sweep: NodeJS.Timeout;

  constructor(deps: KeySetsDeps) {
    this.#deps = deps;
    this.#sweep = setInterval(() => this.refresh(), sweepMs).unref();
  }

  /**
   * Finds the key of a source by which a token can be verified. An unknown one asks the issuer again, at most every
   * 30 s; without an answer of the issuer the last good set serves for an hour.
   */
  async find(
    of: { factoryId: string; source: KeySource },
    wanted: { kid: string | undefined; algorithm: SignatureAlgorithm },
  ): Promise<FoundKey> {
    const known = this.#of(of);
    known.usedAtMs = this.#deps.nowMs();
    if (!this.#usable(known)) await this.#fetch(known, failurePauseMs);
    let set = this.#usable(known);
    if (!set) return "issuer-unreachable";
    let key = await findKey(set.set, wanted);
    if (!key && isAbsent(set.set, wanted.kid)) {
      await this.#fetch(known, unknownKeyMs);
      set = this.#usable(known) ?? set;
      key = await findKey(set.set, wanted);
    }
    return key ? { key, revision: set.revision } : "key-unknown";
  }

  /** The same without asking the issuer: `issuer-unreachable` when its keys are not held now. */
  async findHeld(...[of, wanted]: Parameters<KeySets["find"]>): Promise<FoundKey> {
    if (of.source.kind === "pasted") return this.find(of, wanted);
    const known = this.#known.get(`${of.factoryId} ${keySourceId(of.source)}`);
    const held = known && this.#usable(known);
    if (!held) return "issuer-unreachable";
    const key = await findKey(held.set, wanted);
    return key ? { key, revision: held.revision } : "key-unknown";
  }

  /** The keys of a source that are not understood, as far as its set was got; nothing is fetched. */
  ignoredOf({ factoryId, source }: { factoryId: string; source: KeySource }): readonly IgnoredKey[] {
    return this.#known.get(`${factoryId} ${keySourceId(source)}`)?.got?.set.ignored ?? [];
  }

  /** Which set of a source is in force: what was verified by another must be verified again. */
  revisionOf(of: { factoryId: string; source: string }): string | undefined {
    const known = this.#known.get(`${of.factoryId} ${of.source}`);
    if (!known) return undefined;
    known.usedAtMs = this.#deps.nowMs();
    return this.#usable(known)?.revision;
  }

  /** Begins to fetch, in the background, each set that is used and ten minutes old. Runs by itself. */
  refresh(): void {
    const nowMs = this.#deps.nowMs();
    for (const known of this.#known.values()) {
      if (known.source.kind === "pasted" || nowMs - known.usedAtMs > keepMs) continue;
      if (known.got && nowMs - known.got.atMs >= refreshMs) void this.#fetch(known, unknownKeyMs);
    }
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  #of({ factoryId, source }: { factoryId: string; source: KeySource }): Known {
    const id = `${factoryId} ${keySourceId(source)}`;
    const known = this.#known.get(id) ?? {
      source,
      usedAtMs: 0,
      triedAtMs: Number.NEGATIVE_INFINITY,
      hasFailed: false,
    };
    this.#known.set(id, known);
    return known;
  }

  #usable({ source, got }: Known): FetchedKeySet | undefined {
    return got && (source.kind === "pasted" || this.#deps.nowMs() - got.atMs < keepMs) ? got : undefined;
  }

  /** @param pauseMs - not before so long after the last attempt */
  #fetch(known: Known, pauseMs: number): Promise<void> {
    if (known.fetching !== undefined) return known.fetching;
    if (this.#deps.nowMs() - known.triedAtMs < (known.hasFailed ? failurePauseMs : pauseMs)) return Promise.resolve();
    known.triedAtMs = this.#deps.nowMs();
    known.fetching = this.#fetchNow(known).finally(() => {
      delete known.fetching;
    });
    return known.fetching;
  }

  async #fetchNow(known: Known): Promise<void> {
    try {
      const fetched = await fetchKeySet(this.#deps.outbound, known.source);
      // The same text keeps the keys that were taken apart already.
      const same = known.got?.revision === fetched.revision ? known.got.set : fetched.set;
      known.got = { ...fetched, set: same, atMs: this.#deps.nowMs() };
      known.hasFailed = false;
    } catch (error) {
      known.hasFailed = true;
      this.#deps.onFailure({ source: keySourceId(known.source), error });
    }
  }
}

function isAbsent({ keys }: KeySet, kid: string | undefined): boolean {
  return kid === undefined || !keys.some((key) => key.kid === kid);
}

/** Where the keys of an issuer come from: as a trust rule says it, and never as a token does. */
export type KeySource =
  | { kind: "discovery"; issuer: string }
  | { kind: "url"; url: string }
  | { kind: "pasted"; jwks: string };

/** A key set, and what tells it from another: equal texts have equal revisions. */
export type FetchedKeySet = { set: KeySet; revision: string };

/** What the discovery document must say (OpenID Connect Discovery 1.0, sections 3 and 4.3). */
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string().max(2_000) });

const maxBytes = 64 * 1_024;

/** The issuer answered, and not with its keys. */
export class UnusableKeySet extends Error {
  override readonly name = "UnusableKeySet";
}

/** Tells one source of keys from another: the configured URL, or the hash of the pasted set. */
export function keySourceId(source: KeySource): string {
  switch (source.kind) {
    case "discovery":
      return `discovery ${source.issuer}`;
    case "url":
      return `url ${source.url}`;
    case "pasted":
      return `pasted ${hash("sha256", source.jwks, "base64url")}`;
    default:
      return source satisfies never;
  }
}

/**
 * Gets the keys of an issuer through the guarded dialer: https alone, no redirect, 64 KiB a reply.
 * @throws UnusableKeySet, or a Problem of the dialer's
 */
export async function fetchKeySet(outbound: Pick<Outbound, "request">, source: KeySource): Promise<FetchedKeySet> {
  switch (source.kind) {
    case "discovery":
      return readKeySet(await getText(outbound, await discoverKeySetUrl(outbound, source.issuer)));
    case "url":
      return readKeySet(await getText(outbound, source.url));
    case "pasted":
      return readKeySet(source.jwks);
    default:
      return source satisfies never;
  }
}

async function discoverKeySetUrl(outbound: Pick<Outbound, "request">, issuer: string): Promise<string> {
  const text = await getText(outbound, `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const document = Discovery.safeParse(parseForeignJson(text));
  // A document of another issuer would lend that one's keys to this one.
  if (!document.success || document.data.issuer !== issuer)
    throw new UnusableKeySet("the discovery document is not of this issuer");
  return document.data.jwks_uri;
}

async function getText(outbound: Pick<Outbound, "request">, url: string): Promise<string> {
  const reply = await outbound.request({ url, maxBytes });
  if (reply.status !== 200) throw new UnusableKeySet(`answered ${reply.status}`);
  return replyText(reply.body);
}

function readKeySet(text: string): FetchedKeySet {
  const set = parseKeySet(text);
  if (!set) throw new UnusableKeySet("what was answered is no key set");
  return { set, revision: hash("sha256", text, "base64url") };
}
