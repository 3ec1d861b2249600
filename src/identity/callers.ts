import type { IncomingHttpHeaders } from "node:http";
import { LRUCache } from "lru-cache";
import type { PrismaClient } from "../db/database.js";
import type { Generations } from "../db/generations.js";
import { Problem } from "../http/problem.js";
import type { Caller } from "./caller.js";
import { presentedToken } from "./presented-token.js";
import { findCallerByHash, findCallerById, type StoredCaller } from "./store.js";
import { hashToken, isWellFormedToken } from "./token.js";

/** One and the same answer to every credential that is not valid, whatever is wrong with it. */
export const invalidCredential = (): Problem =>
  new Problem(
    "unauthenticated",
    "This token is not valid: mistyped, expired or withdrawn. Ask whoever gave it to you for a new one.",
  );

const maxRemembered = 20_000;

/**
 * Tells who is asking. A checked credential is remembered by the hash of its token, together with the generation of the
 * snapshot it was read in: once a higher one is seen it is read again.
 */
export class Callers {
  readonly #prisma: PrismaClient;
  readonly #generations: Generations;
  readonly #remembered = new LRUCache<string, StoredCaller>({ max: maxRemembered });

  constructor(deps: { prisma: PrismaClient; generations: Generations }) {
    this.#prisma = deps.prisma;
    this.#generations = deps.generations;
  }

  /**
   * @returns the caller, or `undefined` when no credential was presented
   * @throws Problem `unauthenticated` for any credential that is not valid
   */
  async authenticate(headers: IncomingHttpHeaders): Promise<Caller | undefined> {
    const osfToken = headers["osf-token"];
    const presented = presentedToken({
      osfToken: Array.isArray(osfToken) ? osfToken.join(",") : osfToken,
      authorization: headers.authorization,
    });
    if (presented === undefined) return undefined;
    if (presented === "unreadable") throw invalidCredential();
    const hash = hashToken(presented.token);
    const key = hash.toString("base64");
    let stored = this.#remembered.get(key);
    if (!stored || !this.#generations.isCurrent(stored.scopeId, stored.caller.generation)) {
      if (!isWellFormedToken(presented.token)) throw invalidCredential();
      stored = await findCallerByHash(this.#prisma, hash);
      if (stored) this.#remember(key, stored);
      else this.#remembered.delete(key);
    }
    return unexpired(stored);
  }

  /** Reads the credential again, now. @throws Problem `unauthenticated` when it is no longer valid */
  async readAgain(caller: Caller): Promise<Caller> {
    const stored = await findCallerById(this.#prisma, caller.id);
    if (stored) this.#generations.observe(stored.scopeId, stored.caller.generation);
    return unexpired(stored);
  }

  #remember(key: string, stored: StoredCaller): void {
    this.#generations.observe(stored.scopeId, stored.caller.generation);
    this.#remembered.set(key, stored);
  }
}

function unexpired(stored: StoredCaller | undefined): Caller {
  const expiresAt = stored?.caller.expiresAt;
  if (!stored || (expiresAt && expiresAt.getTime() <= Date.now())) throw invalidCredential();
  return stored.caller;
}
