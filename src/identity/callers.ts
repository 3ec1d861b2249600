import type { IncomingMessage } from "node:http";
import { LRUCache } from "lru-cache";
import type { RequestedBy } from "../audit/record.js";
import type { Caller } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import type { PrismaClient } from "../db/database.js";
import type { Generations } from "../db/generations.js";
import { type Withdrawals, withdrawnCredential } from "../db/withdrawals.js";
import type { Devices } from "./devices/devices.js";
import { invalidCredential } from "./invalid-credential.js";
import type { AccessTokens } from "./oauth/access-tokens.js";
import { findCallerByHash, findCallerById, isStoredToken, type StoredCaller } from "./store.js";
import { hashToken, isWellFormedToken, startsLikeToken } from "./token.js";
import type { Workloads } from "./trust-rules/workloads.js";

const maxRememberedBytes = 64 * 1_024 * 1_024;

/**
 * Tells who is asking. A checked credential is remembered by the hash of its token, together with the generation of the
 * snapshot it was read in: once a higher one is seen it is read again. One that was withdrawn is forgotten.
 */
export class Callers {
  readonly #prisma: PrismaClient;
  readonly #generations: Generations;
  readonly #accessTokens: AccessTokens;
  readonly #workloads: Workloads;
  readonly #devices: Devices;
  readonly #withdrawals: Withdrawals;
  /** The keys of `#remembered` under which a withdrawn credential may stand, by what announces its withdrawal. */
  readonly #keys = new Map<string, Set<string>>();
  readonly #remembered = new LRUCache<string, StoredCaller>({
    maxSize: maxRememberedBytes,
    sizeCalculation: ({ caller, evidence }) => callerWeight(caller, evidence),
    dispose: ({ caller }, key) => this.#forgetKey(caller.id, key),
  });

  constructor(deps: {
    prisma: PrismaClient;
    generations: Generations;
    withdrawals: Withdrawals;
    accessTokens: AccessTokens;
    workloads: Workloads;
    devices: Devices;
  }) {
    this.#prisma = deps.prisma;
    this.#generations = deps.generations;
    this.#withdrawals = deps.withdrawals;
    deps.withdrawals.listen({
      onWithdrawn: (subject) => {
        for (const key of this.#keys.get(subject) ?? []) this.#remembered.delete(key);
      },
      onDoubt: () => this.#remembered.clear(),
    });
    this.#accessTokens = deps.accessTokens;
    this.#workloads = deps.workloads;
    this.#devices = deps.devices;
  }

  /**
   * @param factory - the name in the path, for whose rules an ID token is judged
   * @param takesBareToken - `Authorization` may be the token alone
   * @param requested - for the event of a refused ID token
   * @returns the caller, or `undefined` when no credential was presented
   * @throws Problem `unauthenticated` for any credential that is not valid
   */
  async authenticate(
    request: IncomingMessage,
    factory: string | undefined,
    takesBareToken = false,
    requested?: RequestedBy,
  ): Promise<Caller | undefined> {
    const presented = presentedBy(request, takesBareToken);
    if (presented === undefined) return this.#devices.authenticate(request);
    if (presented === "unreadable") throw invalidCredential();
    return this.withToken(presented.token, factory, requested);
  }

  /** The holder of this token. @throws as `authenticate` does */
  async withToken(token: string, factory: string | undefined, requested?: RequestedBy): Promise<Caller> {
    return this.isForeign(token)
      ? this.#workloads.authenticate(token, factory, requested)
      : this.#withCredential(token);
  }

  /** Whether the token is none of ours by its looks: then it can only be the ID token of another issuer. */
  isForeign(token: string): boolean {
    return !startsLikeToken(token) && !this.#accessTokens.isOurs(token);
  }

  /**
   * Whether a token that is refused was one of ours once: ended, withdrawn or expired. Whoever has one did not guess it.
   */
  async hasEnded(token: string): Promise<boolean> {
    if (!startsLikeToken(token)) return this.#accessTokens.isOurs(token) && this.#accessTokens.wasIssued(token);
    return isWellFormedToken(token) && isStoredToken(this.#prisma, hashToken(token));
  }

  /**
   * The device whose certificate the request shows, and the SHA-256 of that; `undefined` when it shows none.
   * @throws Problem `unauthenticated` when it is refused
   */
  async withCertificate(request: IncomingMessage): Promise<{ caller: Caller; fingerprint: string } | undefined> {
    const caller = await this.#devices.authenticate(request);
    return caller && { caller, fingerprint: this.#devices.fingerprintOf(caller) };
  }

  /**
   * The holder of a credential who is known by its id, and has proved in another way to be that.
   * @throws Problem `unauthenticated` when it is no longer valid, or never was
   */
  async withId(id: string): Promise<Caller> {
    return unexpired(await this.#current(`id ${id}`, () => findCallerById(this.#prisma, id)));
  }

  /**
   * Whether the request presents a token, or a client certificate, that is not remembered as one that was valid: only
   * work would tell what it is worth. Costs two hashes at most.
   */
  presentsUnknown(request: IncomingMessage): boolean {
    const presented = presentedBy(request, true);
    if (presented === undefined) return this.#devices.presentsUnknown(request);
    // Basic is how a client names itself to the token endpoint, which has a limit of its own.
    if (presented === "unreadable") return !/^basic /i.test(request.headers.authorization ?? "");
    return this.isUnknown(presented.token);
  }

  /** Whether the token is not remembered as one that was valid. Costs two hashes. */
  isUnknown(token: string): boolean {
    return !this.#remembered.has(hashToken(token).toString("base64")) && !this.#workloads.remembers(token);
  }

  /** Reads the credential again, now. @throws Problem `unauthenticated` when it is no longer valid */
  async readAgain(caller: Caller): Promise<Caller> {
    if (caller.kind === "device") return this.#devices.readAgain(caller);
    if (caller.kind === "oidc" && this.#workloads.hasOwnToken(caller)) return this.#workloads.readAgain(caller);
    const stored = await this.#resumed(await findCallerById(this.#prisma, caller.id));
    if (stored) this.#generations.observe(stored.scopeId, stored.caller.generation);
    return unexpired(stored);
  }

  async #withCredential(token: string): Promise<Caller> {
    const hash = hashToken(token);
    return unexpired(await this.#current(hash.toString("base64"), () => this.#find(token, hash)));
  }

  async #current(key: string, find: () => Promise<StoredCaller | undefined>): Promise<StoredCaller | undefined> {
    const known = this.#remembered.get(key);
    if (known && this.#generations.isCurrent(known.scopeId, known.caller.generation)) return known;
    const stored = await this.#resumed(await find());
    if (stored) this.#remember(key, stored);
    else this.#remembered.delete(key);
    return stored;
  }

  async #find(token: string, hash: Buffer): Promise<StoredCaller | undefined> {
    if (startsLikeToken(token)) return isWellFormedToken(token) ? findCallerByHash(this.#prisma, hash) : undefined;
    const verified = await this.#accessTokens.verify(token);
    const stored = verified && (await findCallerById(this.#prisma, verified.credentialId));
    return stored && { ...stored, tokenExpiresAt: verified.expiresAt };
  }

  async #resumed(stored: StoredCaller | undefined): Promise<StoredCaller | undefined> {
    return stored?.caller.kind === "oidc" ? this.#workloads.resume(stored) : stored;
  }

  #remember(key: string, stored: StoredCaller): void {
    this.#generations.observe(stored.scopeId, stored.caller.generation);
    const subject = withdrawnCredential(stored.caller.id);
    // It may have been read before its withdrawal, which was announced while the answer was on its way.
    if (this.#withdrawals.isRecent(subject)) return void this.#remembered.delete(key);
    // First, because what was there before is disposed of.
    this.#remembered.set(key, stored);
    if (!this.#remembered.has(key)) return;
    const keys = this.#keys.get(subject) ?? new Set();
    this.#keys.set(subject, keys.add(key));
  }

  #forgetKey(id: string, key: string): void {
    const subject = withdrawnCredential(id);
    const keys = this.#keys.get(subject);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(subject);
  }
}

function presentedBy({ headers }: IncomingMessage, takesBareToken: boolean): ReturnType<typeof presentedToken> {
  const osfToken = headers["osf-token"];
  return presentedToken({
    osfToken: Array.isArray(osfToken) ? osfToken.join(",") : osfToken,
    authorization: headers.authorization,
    takesBareToken,
  });
}

function unexpired(stored: StoredCaller | undefined): Caller {
  const ends = [stored?.caller.expiresAt, stored?.tokenExpiresAt];
  if (!stored || ends.some((end) => end && end.getTime() <= databaseNow().getTime())) throw invalidCredential();
  return stored.caller;
}

/**
 * The token that a request presents, if any.
 * `OSF-TOKEN` decides when it is there, and `Authorization` is then ignored: fioctl sends both, the second possibly stale.
 * A bearer with a prefix of ours or exactly two dots is taken as it is; any other must be strict base64 of such a
 * value, which is how fioctl sends an access token.
 * @returns the token; `undefined` when no credential was sent; `"unreadable"` when one was sent that cannot be one
 */
export function presentedToken(headers: {
  osfToken: string | undefined;
  authorization: string | undefined;
  /** The token may stand alone in `Authorization`. */
  takesBareToken: boolean;
}): { token: string } | "unreadable" | undefined {
  if (headers.osfToken !== undefined)
    return looksLikeToken(headers.osfToken) ? { token: headers.osfToken } : "unreadable";
  if (headers.authorization === undefined) return undefined;
  // `Bearer a.b.c` has two dots as well.
  if (headers.takesBareToken && !headers.authorization.includes(" ") && looksLikeToken(headers.authorization))
    return { token: headers.authorization };
  const bearer = /^bearer +([^ ]+) *$/i.exec(headers.authorization)?.[1];
  if (bearer === undefined) return "unreadable";
  if (looksLikeToken(bearer)) return { token: bearer };
  const decoded = strictBase64(bearer);
  return decoded !== undefined && looksLikeToken(decoded) ? { token: decoded } : "unreadable";
}

function looksLikeToken(text: string): boolean {
  return startsLikeToken(text) || text.split(".", 4).length === 3;
}

function strictBase64(text: string): string | undefined {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) return undefined;
  const decoded = bytes.toString("latin1");
  return /^[\x21-\x7e]+$/.test(decoded) ? decoded : undefined;
}

/** A caller without grants, and what remembers it. */
const bytesOfCaller = 1_024;
/** Short texts in objects take about four times the memory of their JSON. */
const bytesOfCharacter = 4;

/**
 * How many bytes of memory a caller takes while it is remembered, about. One has no grants, the next has a hundred lines
 * of a hundred repositories each: a memory that counted both as one would be full long after the machine's.
 * @param held - what else is kept with it
 */
export function callerWeight({ grants, evidence }: Caller, held?: unknown): number {
  return bytesOfCaller + bytesOfCharacter * JSON.stringify([grants, evidence, held]).length;
}
