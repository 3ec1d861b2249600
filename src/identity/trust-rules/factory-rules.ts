import { LRUCache } from "lru-cache";
import type { FactoryRef } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { findFactory } from "../../factories/store.js";
import type { SignatureAlgorithm } from "./contract.js";
import { generationOf, type RulesOfFactory, rulesOfFactory } from "./store.js";
import { readWebKeys } from "./web-keys.js";

/** The rules of a factory, of one snapshot. */
export type FactoryRules = RulesOfFactory & { factory: FactoryRef };

/** Reads the trust rules of factories and remembers them until a higher generation is seen. */
export class KnownRules {
  readonly #deps: { prisma: PrismaClient; generations: Generations };
  readonly #byName = new LRUCache<string, FactoryRules>({ max: 2_000 });
  readonly #reading = new Map<string, Promise<FactoryRules | undefined>>();

  constructor(deps: { prisma: PrismaClient; generations: Generations }) {
    this.#deps = deps;
  }

  /** What is remembered and still in force. */
  remembered(name: string): FactoryRules | undefined {
    const known = this.#byName.get(name);
    return known && this.#deps.generations.isCurrent(known.factory.id, known.generation) ? known : undefined;
  }

  /** @returns `undefined` when there is no factory of that name */
  async ofName(name: string): Promise<FactoryRules | undefined> {
    // A flood that misses together reads once. One that joins a read which began before a change was announced is
    // caught where it matters: by the conditional audit row.
    const running = this.remembered(name) ?? this.#reading.get(name);
    if (running) return running;
    const reading = this.#find(name).finally(() => this.#reading.delete(name));
    this.#reading.set(name, reading);
    return reading;
  }

  /** The rules of no older generation than this. */
  async since(factory: FactoryRef, generation: bigint): Promise<FactoryRules | undefined> {
    const known = this.remembered(factory.name);
    return known && known.generation >= generation ? known : this.read(factory);
  }

  /** The rules as they are now, if the factory has changed since these were read. One look at its generation tells. */
  async newerThan({ factory, generation }: FactoryRules): Promise<FactoryRules | undefined> {
    const now = await generationOf(this.#deps.prisma, factory.id);
    return now === generation ? undefined : this.read(factory);
  }

  /** Reads them now. @returns `undefined` when the factory is gone */
  async read(factory: FactoryRef): Promise<FactoryRules | undefined> {
    const row = await rulesOfFactory(this.#deps.prisma, factory.id);
    if (!row) return undefined;
    const rules: FactoryRules = { ...row, factory };
    this.#deps.generations.observe(factory.id, row.generation);
    this.#byName.set(factory.name, rules);
    return rules;
  }

  async #find(name: string): Promise<FactoryRules | undefined> {
    const row = await findFactory(this.#deps.prisma, name);
    return row ? this.read({ id: row.id, name: row.name }) : undefined;
  }
}

/**
 * Looks at a pasted key set when it is pasted, where somebody can still mend it.
 * @throws Problem `invalid-request` for what is no set of public keys, or has none for the rule's algorithms
 */
export function checkPastedKeys(jwks: string, algorithms: readonly SignatureAlgorithm[]): void {
  const reason = wrongWithKeys(jwks, algorithms);
  if (reason === undefined) return;
  throw new Problem("invalid-request", `/jwks: ${reason}`, { invalid: [{ at: "/jwks", reason }] });
}

function wrongWithKeys(jwks: string, algorithms: readonly SignatureAlgorithm[]): string | undefined {
  const set = readWebKeys(jwks);
  if (!set || set.keys.length + set.ignored.length === 0) {
    return 'the text of a JSON Web Key Set: {"keys": [...]}, with one to a hundred keys';
  }
  const { keys, ignored } = set;
  if (set.holdsPrivate) {
    return "holds a private or a shared key. Paste the public keys alone, and replace that one: it is known here now";
  }
  const ids = keys.map(({ kid }) => kid);
  if (new Set(ids).size < ids.length) return "two of its keys have one kid, or none: a token could mean either";
  const wanted = new Set(algorithms.map(keyTypeOf));
  if (keys.every(({ kty }) => !wanted.has(kty))) {
    const left = ignored.slice(0, 5).map(({ at, reason }) => `; ${at} ${reason}`);
    return `has no key for the rule's algorithms, which take keys of type ${[...wanted].join(", ")}${left.join("")}`;
  }
  return undefined;
}

/** RFC 7518 (3.1), RFC 8037 (3.1) */
function keyTypeOf(algorithm: SignatureAlgorithm): string {
  switch (algorithm) {
    case "RS256":
    case "RS384":
    case "RS512":
    case "PS256":
    case "PS384":
    case "PS512":
      return "RSA";
    case "ES256":
    case "ES384":
    case "ES512":
      return "EC";
    case "EdDSA":
      return "OKP";
    default:
      return algorithm satisfies never;
  }
}
