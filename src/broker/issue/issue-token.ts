import type { AwsWire } from "../../audit/events.js";
import type { RequestedBy } from "../../audit/record.js";
import { type Actor, actorOf, type Caller, type FactoryRef, standingOf } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { createPauses, startEach } from "../../core/pauses.js";
import { type Failure, Problem } from "../../core/problem.js";
import type { Generations } from "../../db/generations.js";
import type { Callers } from "../../identity/callers.js";
import type { TokenRequests } from "../../limits/token-requests.js";
import type { Minted } from "../providers/provider.js";
import { byCurrentFacts, decideAgain, observeStale, type Stale } from "./by-current-facts.js";
import { type Asked, type Decided, type Demand, decisions, secretFor, someOf } from "./decide-demands.js";
import type { FactoryFacts, Facts } from "./factory-facts.js";
import { issuedEvent, type Ready, type SecretRef } from "./issued-event.js";
import { type MintDeps, openAndMint, recordMint } from "./open-and-mint.js";
import type { Product } from "./products.js";
import type { CachedToken } from "./token-cache.js";

export type BrokerDeps = MintDeps & {
  facts: Facts;
  callers: Callers;
  generations: Generations;
  tokenRequests: Pick<TokenRequests, "count">;
  onToken(issued: Ready<Minted>, actor: Actor): void;
};

export type IssueInput = {
  factory: FactoryRef;
  caller: Caller;
  /** Absent: every entry. */
  asked: readonly Asked[] | undefined;
  allowBroader: boolean;
  allowPartial: boolean;
  minTtlSeconds: number | undefined;
  /** Why what a demand would be given could not go out, when that is known beforehand: then nothing is opened for it. */
  unfit?: ((demand: Demand) => Problem | undefined) | undefined;
  requested: RequestedBy;
  via?: AwsWire;
  isRepeated?: boolean;
};

export type Issued<T extends Minted> = { tokens: CachedToken<T>[]; failures: Failure[] };

/** One request, and what answers it. */
type Asking<T extends Minted> = {
  deps: BrokerDeps;
  product: Product<T>;
  input: IssueInput;
  /** Before each token that is minted for this request. @throws Problem `too-many-requests` */
  admit(): void;
};

/**
 * The request was counted, and so one token is paid for. Each further one that is minted counts as another request: with
 * fifty demands, and a `minTtlSeconds` that no cached token meets, one request is fifty to the registries.
 */
function admission({ tokenRequests }: BrokerDeps, caller: Caller): () => void {
  let isPaid = true;
  let refusal: unknown;
  return () => {
    // One request is refused once, however many of its demands are.
    if (refusal !== undefined) throw refusal;
    try {
      if (!isPaid) tokenRequests.count(caller);
      isPaid = false;
    } catch (error) {
      refusal = error;
      throw error;
    }
  };
}

/** Who mints ahead of time, when no one waits. */
const refresher: Actor = { kind: "service", id: "", name: "refresh" };

/** Tokens of one request that are minted at a time: each needs the database, which others need too. */
const maxAtOnce = 50;

/**
 * Issues registry tokens, or another product. Everything is decided by facts of one generation; the audit rows are
 * written only if the factory still has that generation and the caller was not withdrawn, and nothing leaves before they
 * are durable. Tokens beyond the first that are minted for it count as requests of the caller. On a mismatch the facts and the caller's own record are read again and the request is decided anew: what
 * was withdrawn, anywhere, opens nothing.
 */
export async function issueTokens<T extends Minted>(
  deps: BrokerDeps,
  product: Product<T>,
  input: IssueInput,
): Promise<Issued<T>> {
  const asking = { deps, product, input, admit: admission(deps, input.caller) };
  return byCurrentFacts(deps, input, async (facts, caller) => {
    const { ready, failures, asked } = await prepare(asking, caller, facts);
    const isRefused = failures.length > 0 && !input.allowPartial;
    if (isRefused || ready.length === 0) {
      // No row is written that would tell; a refusal by facts of yesterday is as wrong as a token.
      await recordKept(asking, caller, ready);
      if (await deps.facts.areOutdated(facts, caller)) return decideAgain;
      if (isRefused) throw problemOf(failures, asked);
    }
    const stale = await findStale(asking, caller, facts, ready);
    if (!stale) {
      for (const one of ready) deps.onToken(one, actorOf(caller));
      return { tokens: ready.map(({ cached }) => cached), failures: failures.map(({ failure }) => failure) };
    }
    await recordKept(asking, caller, ready);
    return observeStale(deps, input.factory, stale);
  });
}

async function prepare<T extends Minted>(
  asking: Asking<T>,
  caller: Caller,
  facts: FactoryFacts,
): Promise<{ ready: Ready<T>[]; failures: Failed[]; asked: number }> {
  const { input } = asking;
  const pause = createPauses();
  const decided: Decided[] = [];
  for (const one of decisions(facts, caller, input.asked, input.allowBroader)) {
    decided.push(one);
    await pause();
  }
  const unfit = input.allowPartial ? [] : decided.flatMap((one) => unfitOf(input, one));
  const asked = decided.reduce((sum, one) => sum + ("problem" in one ? 1 : one.demands.length), 0);
  // All or nothing, and it will be nothing.
  if (unfit.length > 0) return { ready: [], failures: unfit, asked };
  const outcomes = await startEach(decided, (one) => tokensOf(asking, caller, facts, one), maxAtOnce);
  const ready: Ready<T>[] = [];
  const failures: Failed[] = [];
  for (const outcome of outcomes) {
    if ("cached" in outcome) ready.push(outcome);
    else failures.push(outcome);
  }
  return { ready, failures, asked };
}

function unfitOf({ unfit }: IssueInput, decided: Decided): Failed[] {
  if ("problem" in decided) return [];
  return decided.demands.flatMap((demand) => {
    const problem = unfit?.(demand);
    return problem ? [failed(demand.host ?? demand.entry.id, problem)] : [];
  });
}

function tokensOf<T extends Minted>(
  asking: Asking<T>,
  caller: Caller,
  facts: FactoryFacts,
  decided: Decided,
): Promise<Ready<T> | Failed>[] {
  if ("problem" in decided) return [Promise.resolve(failed(decided.registry, decided.problem))];
  return decided.demands.map(async (demand) => {
    const unfit = asking.input.unfit?.(demand);
    if (unfit) return failed(demand.host ?? demand.entry.id, unfit);
    try {
      const ready = await tokenOf(asking, caller, facts, demand);
      const tooLong = livesTooLong(ready, caller.maxTtlSeconds);
      if (!tooLong) return ready;
      await recordKept(asking, caller, [ready]);
      return failed(demand.host ?? demand.entry.id, tooLong);
    } catch (error) {
      if (error instanceof Problem) return failed(demand.host ?? demand.entry.id, error);
      throw error;
    }
  });
}

/** A rule or a policy can say how long a thing may live that it hands out. No registry makes a shorter one on request. */
function livesTooLong({ cached }: Ready<Minted>, maxTtlSeconds: number | undefined): Problem | undefined {
  if (maxTtlSeconds === undefined) return undefined;
  if (cached.token.lifeUnstated) {
    return new Problem(
      "ttl-not-available",
      `${cached.token.registry} does not say how long this token lives, and the rule or policy that lets you in allows ${maxTtlSeconds} s. Leave its maxTtlSeconds out to accept that.`,
    );
  }
  const seconds = Math.ceil((cached.token.expiresAt.getTime() - databaseNow().getTime()) / 1000);
  if (seconds <= maxTtlSeconds) return undefined;
  return new Problem(
    "ttl-not-available",
    `This registry's token lives ${seconds} s, and the rule or policy that lets you in allows ${maxTtlSeconds} s. Raise its maxTtlSeconds, or leave it out.`,
  );
}

async function tokenOf<T extends Minted>(
  asking: Asking<T>,
  caller: Caller,
  facts: FactoryFacts,
  demand: Demand,
): Promise<Ready<T>> {
  const secret = secretFor(facts, demand);
  const key = cacheKey(facts.factory.id, secret, demand);
  const fresh = asking.product.cache.fresh(key, asking.input.minTtlSeconds);
  if (fresh) return { demand, secret, cached: fresh, fromCache: true };
  return mintedToken(asking, { key, demand, secret, actor: actorOf(caller) });
}

async function mintedToken<T extends Minted>(
  { deps, product, input, admit }: Asking<T>,
  wanted: { key: string; demand: Demand; secret: Ready<T>["secret"]; actor: Actor },
): Promise<Ready<T>> {
  const { key, demand, secret, actor } = wanted;
  const { factory, requested, minTtlSeconds } = input;
  const mint = { factory, actor, secret, demand, requested };
  const ahead = { ...mint, actor: refresher, requested: {} };
  let isMinted = false;
  const mintNow = async () => {
    const token = await openAndMint(deps, product, { ...mint, purpose: "issue" });
    isMinted = true;
    return token;
  };
  try {
    const refresh = () => openAndMint(deps, product, { ...ahead, purpose: "refresh" });
    return { demand, secret, ...(await product.cache.get(key, minTtlSeconds, { admit, mint: mintNow, refresh })) };
  } catch (error) {
    // The token lives too short for this caller.
    if (isMinted) await recordMint(deps.audit, product, mint, { kept: true });
    throw error;
  }
}

/** Writes the audit rows. @returns `undefined` when all stand, else the generation that the factory has now */
async function findStale<T extends Minted>(
  { deps, product, input }: Asking<T>,
  caller: Caller,
  facts: FactoryFacts,
  ready: readonly Ready<T>[],
): Promise<Stale | undefined> {
  const condition = { generation: facts.generation, standing: standingOf(caller) };
  const outcomes = await startEach(ready, (one) => [
    deps.audit.writeIfCurrent(issuedEvent(product, input, caller, one), condition),
  ]);
  return outcomes.find((outcome) => !outcome.written);
}

/** Secrets were opened for tokens that now go to no one: those stay in the cache, and the openings in the audit. */
async function recordKept<T extends Minted>(
  { deps, product, input }: Asking<T>,
  caller: Caller,
  ready: readonly Ready<T>[],
): Promise<void> {
  const { factory, requested } = input;
  const kept = ready.filter(({ fromCache }) => !fromCache);
  await Promise.all(
    kept.map(({ demand, secret }) =>
      recordMint(deps.audit, product, { factory, actor: actorOf(caller), secret, demand, requested }, { kept: true }),
    ),
  );
}

/** One registry that could not be answered for, and the whole problem that it was. */
type Failed = { failure: Failure; problem: Problem };

function failed(registry: string, problem: Problem): Failed {
  return { failure: { registry, code: problem.code, message: problem.detail }, problem };
}

/** One failure is that problem; several are the gravest of them, with all listed. */
function problemOf(failures: readonly Failed[], asked: number): Problem {
  const gravest = failures.map(({ problem }) => problem).reduce((a, b) => (b.status > a.status ? b : a));
  if (asked === 1) return gravest;
  const detail = `${failures.length} of ${asked} registries gave no token. ${someOf(
    failures.map(({ failure }) => `${failure.registry}: ${failure.message}`),
    " ",
  )}`;
  // Sooner the same request would fail again.
  const waits = failures.flatMap(({ problem }) => problem.retryAfterSeconds ?? []);
  const retryAfterSeconds = gravest.retryAfterSeconds && Math.max(...waits);
  return new Problem(gravest.code, detail, {
    failures: failures.map(({ failure }) => failure),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}

/**
 * Names all that a token depends on: nothing else than an equal request can meet it. What a keyless entry depends on,
 * its principal and its id, is in the hash of the entry.
 */
export function cacheKey(factoryId: string, secret: SecretRef | undefined, demand: Demand): string {
  const scope = demand.repositories ? [demand.allowBroader, ...demand.repositories] : [];
  return [factoryId, demand.hash, secret?.id ?? "", secret?.version ?? "", demand.host ?? "", ...scope].join(" ");
}
