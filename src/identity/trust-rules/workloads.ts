import { hash } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";
import type { Caller } from "../../core/caller.js";
import type { PrismaClient } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import { callerWeight } from "../callers.js";
import { invalidCredential } from "../invalid-credential.js";
import type { StoredCaller } from "../store.js";
import { type FactoryRules, KnownRules } from "./factory-rules.js";
import { decide, judgeRules, type Trusted } from "./judge-rules.js";
import {
  believed,
  isUpToRules,
  ruleId,
  trustedWorkload,
  VerifiedIdToken,
  type WorkloadRefusal,
  workloadCaller,
} from "./judge-workload.js";
import type { KeySets } from "./key-sets.js";
import { type ParsedIdToken, parseIdToken, takeTokenId, verifyForRules } from "./verify-id-token.js";
import { type RefusedToken, recordWorkloadRefusal } from "./workload-refusals.js";

export type WorkloadsDeps = {
  prisma: PrismaClient;
  generations: Generations;
  keySets: Pick<KeySets, "find" | "findHeld" | "revisionOf">;
  now: () => Date;
  audit: AuditWriter;
  /** Told of a refusal that could not be recorded. */
  onError: (error: unknown) => void;
};

/** A workload that was let in, and what is held of it to judge it again. */
export type Admitted = { caller: Caller; verified: VerifiedIdToken };

/** One that was not, and what the rules said of its token, if any was asked. */
type Refused = { refusal: WorkloadRefusal; reasons?: Omit<RefusedToken, "refusal" | "requested"> };

type PresentedToken = { token: string; parsed: ParsedIdToken };

/** `revisions`: the key sets by which its signature held, at the time. */
type Remembered = Admitted & { revisions: readonly { source: string; revision: string }[] };

const maxRememberedBytes = 32 * 1_024 * 1_024;

/**
 * No refusal of an ID token is answered sooner, so that its time does not tell whether the factory exists, or has a rule
 * for this issuer. What still shows is a fetch of keys that takes longer, to whoever knows what a rule asks for.
 */
const refusalMs = 100;

/**
 * Those who come with an ID token of another issuer, and what the trust rules of a factory make of them. What was judged
 * is remembered with the generation of the rules and the revisions of the key sets: a changed rule or a withdrawn key
 * makes it judged anew.
 */
export class Workloads {
  readonly #deps: WorkloadsDeps;
  readonly #rules: KnownRules;
  /** By the SHA-256 of the token, for the factory that it was last presented to. */
  readonly #remembered = new LRUCache<string, Remembered>({
    maxSize: maxRememberedBytes,
    sizeCalculation: ({ caller, verified }) => callerWeight(caller, verified.claims),
  });
  readonly #admitted = new WeakMap<Caller, VerifiedIdToken>();

  constructor(deps: WorkloadsDeps) {
    this.#deps = deps;
    this.#rules = new KnownRules(deps);
  }

  /** @throws Problem `unauthenticated` when the token is not valid, or matches no rule of that factory */
  async authenticate(token: string, factory: string | undefined, requested?: RequestedBy): Promise<Caller> {
    return (await this.admit(token, factory, requested)).caller;
  }

  /**
   * Lets in the bearer of an ID token. The `jti` of a token that a single-use rule matches is taken: it is refused ever
   * after in this factory, by whichever of its rules.
   * @throws Problem `unauthenticated`, not sooner than 100 ms after the call
   */
  async admit(token: string, factory: string | undefined, requested?: RequestedBy): Promise<Admitted> {
    const startedMs = performance.now();
    const judged = await this.#judge(token, factory ?? "");
    if ("caller" in judged) return judged;
    // Not awaited: it must not show in the time of the answer. As a rule it is done within the wait.
    if (judged.reasons)
      void recordWorkloadRefusal(this.#deps, { ...judged, ...judged.reasons, requested }).catch(this.#deps.onError);
    await wait(Math.max(0, refusalMs - (performance.now() - startedMs)));
    throw invalidCredential(judged.refusal);
  }

  /** Whether the bearer of this token was let in before. Says nothing about now; costs one hash. */
  remembers(token: string): boolean {
    return this.#remembered.has(digestOf(token));
  }

  /** Whether this caller came with the ID token itself, and not with a token of ours that was exchanged for it. */
  hasOwnToken(caller: Caller): boolean {
    return this.#admitted.has(caller);
  }

  /** Judges the caller's ID token by the rules of now. @throws Problem `unauthenticated` */
  async readAgain(caller: Caller): Promise<Caller> {
    const verified = this.#admitted.get(caller);
    const rules = caller.factory && (await this.#rules.read(caller.factory));
    const isExpired = caller.expiresAt !== undefined && caller.expiresAt <= this.#deps.now();
    const trusted = rules && verified && !isExpired ? trustedWorkload(rules, verified) : undefined;
    if (!rules || !verified || !trusted) throw invalidCredential(isExpired ? "expired" : "no-match");
    return this.#admit(rules, { trusted, verified, expiresAt: caller.expiresAt }).caller;
  }

  /** What the session of an exchanged token is worth by the rules of now; `undefined` when nothing. */
  async resume(stored: StoredCaller): Promise<StoredCaller | undefined> {
    const { caller } = stored;
    const verified = VerifiedIdToken.safeParse(stored.evidence);
    const rules = caller.factory && (await this.#rules.since(caller.factory, caller.generation));
    const trusted = rules && verified.success ? trustedWorkload(rules, verified.data) : undefined;
    if (!rules || !verified.success || !trusted) return undefined;
    const { id: _rule, generation: _ofRules, ...judged } = workloadCaller(rules, trusted, verified.data.claims.sub);
    // It is as old as the older of its parts: the session was read before the rules.
    return { ...stored, caller: { ...caller, ...judged, actorId: ruleId(trusted) } };
  }

  async #judge(token: string, factory: string): Promise<Admitted | Refused> {
    const digest = digestOf(token);
    const known = this.#stillAdmitted(digest, this.#rules.remembered(factory));
    if (known) return known;
    const parsed = parseIdToken(token);
    if (typeof parsed === "string") return { refusal: parsed };
    const rules = await this.#rules.ofName(factory);
    if (!rules) return { refusal: "no-factory" };
    const judged = await this.#judgeBy(rules, { token, parsed, digest });
    if ("caller" in judged || !isUpToRules(judged.refusal)) return judged;
    // A rule of a moment ago, made on another replica, must not be missed: a refusal by yesterday's rules is wrong too.
    const newer = await this.#rules.newerThan(rules);
    return newer ? this.#judgeBy(newer, { token, parsed, digest }) : judged;
  }

  async #judgeBy(rules: FactoryRules, presented: PresentedToken & { digest: string }): Promise<Admitted | Refused> {
    const { parsed, digest } = presented;
    const verdicts = judgeRules(rules.rules, parsed);
    const refused = (refusal: WorkloadRefusal): Refused => ({
      refusal,
      reasons: { token: presented.token, parsed, factory: rules.factory, verdicts },
    });
    const verified = await verifyForRules(this.#deps, presented, rules, verdicts);
    if (typeof verified === "string") return refused(verified);
    const { revisions, isComplete, sources } = verified;
    const trusted = decide(believed(verdicts, sources), parsed.claims);
    if (typeof trusted === "string") return refused(trusted);
    const isTaken = trusted.singleUse && (await this.#take(parsed, rules));
    if (trusted.singleUse && !isTaken) return refused("already-used");
    const { algorithm, claims } = parsed;
    const held = { algorithm, claims, sources: [...sources], isTaken };
    const admitted = this.#admit(rules, { trusted, verified: held, expiresAt: new Date(parsed.expiresAt * 1_000) });
    if (!isTaken && isComplete) this.#remembered.set(digest, { ...admitted, revisions });
    return admitted;
  }

  #stillAdmitted(digest: string, rules: FactoryRules | undefined): Admitted | undefined {
    const known = this.#remembered.get(digest);
    if (!rules || known?.caller.factory?.id !== rules.factory.id) return undefined;
    if (known.caller.generation !== rules.generation) return undefined;
    const isExpired = known.caller.expiresAt !== undefined && known.caller.expiresAt <= this.#deps.now();
    const isOfTheseKeys = known.revisions.every(
      ({ source, revision }) => this.#deps.keySets.revisionOf({ factoryId: rules.factory.id, source }) === revision,
    );
    return !isExpired && isOfTheseKeys ? known : undefined;
  }

  async #take({ issuer, tokenId, expiresAt }: ParsedIdToken, { factory }: FactoryRules): Promise<boolean> {
    if (tokenId === undefined) return false;
    return takeTokenId(this.#deps.prisma, factory.id, { issuer, tokenId, expiresAt: new Date(expiresAt * 1_000) });
  }

  #admit(
    rules: FactoryRules,
    of: { trusted: Trusted; verified: VerifiedIdToken; expiresAt: Date | undefined },
  ): Admitted {
    const { trusted, verified, expiresAt } = of;
    const caller = { ...workloadCaller(rules, trusted, verified.claims.sub), ...(expiresAt && { expiresAt }) };
    this.#admitted.set(caller, verified);
    return { caller, verified };
  }
}

function digestOf(token: string): string {
  return hash("sha256", token, "base64url");
}
