import type { AuditWriter } from "../../audit/record.js";
import type { Actor, FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import { type OpenDeps, openSecretVersion } from "../../secrets/open-secret.js";
import type { Minted, MintRequest } from "../providers/provider.js";
import type { Demand } from "./decide-demands.js";
import { openedBy, type SecretRef } from "./issued-event.js";
import type { HeldProduct } from "./products.js";

// One mint takes up to a handful of calls of at most 5 s each, and the SDK's pauses between retries.
const mintTimeoutMs = 15_000;

/**
 * Mints, and gives up after 15 s in all.
 * @throws Problem for everything that a person can act on, `upstream-timeout` among them; or the reason of `signal`
 */
export async function mintInTime<T extends Minted>(
  mint: (request: MintRequest) => Promise<T>,
  request: MintRequest,
): Promise<T> {
  const deadline = AbortSignal.timeout(mintTimeoutMs);
  const signal = AbortSignal.any([request.signal, deadline]);
  try {
    return await mint({ ...request, signal });
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason;
    if (!deadline.aborted || error instanceof Problem) throw error;
    const seconds = mintTimeoutMs / 1_000;
    throw new Problem(
      "upstream-timeout",
      `No token for registry entry "${request.entry.id}" within ${seconds} s. Try again later.`,
    );
  }
}

export type MintDeps = OpenDeps & {
  audit: AuditWriter;
  /** Signs what a cloud takes in the place of a secret. */
  assert(asserted: { factoryId: string; entryId: string; audience: string }): Promise<string>;
};

export type MintInput = {
  factory: FactoryRef;
  actor: Actor;
  /** Absent for an entry that names none. */
  secret: SecretRef | undefined;
  demand: Demand;
  requested: { requestId?: string; clientRequestId?: string; address?: string };
  /** `refresh` when no one waits: the token is minted ahead of its time. */
  purpose: "issue" | "refresh";
};

/** The version that the facts name is gone: they are out of date, and the request is to be decided anew. */
export class StaleFacts extends Error {
  override readonly name = "StaleFacts";
}

/**
 * Opens the secret, asks the cloud, forgets the secret; for an entry without one the service's own word takes its place.
 * Either leaves an audit row in every case: the issued token's own row when it is handed out, else one written here.
 */
export async function openAndMint<T extends Minted>(
  deps: MintDeps,
  product: HeldProduct<T>,
  input: MintInput,
): Promise<T> {
  const { factory, actor, secret, demand } = input;
  const value = secret && (await openSecretVersion(deps, { factory, actor, secret }));
  if (secret && !value) throw new StaleFacts();
  try {
    const token = await mintInTime(product.mint, {
      entry: demand.entry,
      host: demand.host,
      factoryId: factory.id,
      secret: secret && value && { name: secret.name, version: secret.version, value },
      assert: (audience) => deps.assert({ factoryId: factory.id, entryId: demand.entry.id, audience }),
      repositories: demand.repositories,
      allowBroader: demand.allowBroader,
      // Many may wait for this one token, so none of them can abort it; it has a deadline of its own.
      signal: new AbortController().signal,
    });
    if (input.purpose === "refresh") await recordMint(deps.audit, product, input, { kept: true });
    return token;
  } catch (error) {
    await recordMint(deps.audit, product, input, { failedWith: error instanceof Problem ? error.code : "internal" });
    throw error;
  } finally {
    value?.erase();
  }
}

/**
 * The audit row of an opening that no `registry-token.issued` tells of: the token is kept for later, or there is none. The
 * failures of a caller are counted: it can repeat them.
 */
export async function recordMint(
  audit: AuditWriter,
  product: { name: HeldProduct<Minted>["name"] },
  input: Omit<MintInput, "purpose">,
  outcome: { kept: true } | { failedWith: string },
): Promise<void> {
  const { factory, actor, secret, demand, requested } = input;
  const at = databaseNow();
  const registry = demand.host ?? demand.entry.id;
  const facts = { registry, entry: demand.entry.id, ...openedBy(demand, secret) };
  const { repositories } = demand;
  if ("kept" in outcome) {
    const body = { action: `${product.name}.refreshed`, ...facts, ...(repositories && { repositories }) } as const;
    await audit.write({ at, outcome: "allowed", actor, factory, ...requested, body });
    return;
  }
  const code = outcome.failedWith;
  const action = `${product.name}.failed` as const;
  const repeated = { at, outcome: "failed", actor, factory, ...requested, body: { action, ...facts, code } } as const;
  const event = { ...repeated, body: { ...repeated.body, ...(repositories && { repositories }) } };
  // One request can ask for fifty tokens, and a registry that fails answers none of them: no limit of requests bounds it.
  const key = [registry, demand.entry.id, secret?.name ?? "", String(secret?.version ?? ""), code];
  await audit.writeCounted(
    { key: [actor.kind, actor.id, actor.name, ...key], event, repeated },
    { key, event: { ...repeated, actor: otherCallers }, maxOfFactory: maxFailuresOfFactory },
  );
}

/** Different failures of a factory's callers in a minute; those beyond are counted without the caller. */
const maxFailuresOfFactory = 1_000;
const otherCallers: Actor = { kind: "unknown", id: "", name: "others" };
