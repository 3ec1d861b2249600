import type { AuditWriter } from "../audit/record.js";
import type { Actor, FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import { type OpenDeps, openSecretVersion } from "../secrets/open-secret.js";
import type { Demand } from "./decide-demands.js";
import { openedBy, type SecretRef } from "./issued-event.js";
import { mintInTime } from "./mint-in-time.js";
import type { Product } from "./product.js";
import type { Minted } from "./provider.js";

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
  /** `refresh` when nobody waits: the token is minted ahead of its time. */
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
export async function openAndMint<T extends Minted>(deps: MintDeps, product: Product<T>, input: MintInput): Promise<T> {
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

/** The audit row of an opening that no `registry-token.issued` tells of: the token is kept for later, or there is none. */
export async function recordMint(
  audit: AuditWriter,
  product: { name: Product<Minted>["name"] },
  input: Omit<MintInput, "purpose">,
  outcome: { kept: true } | { failedWith: string },
): Promise<void> {
  const { factory, actor, secret, demand, requested } = input;
  const isKept = "kept" in outcome;
  await audit.write({
    at: databaseNow(),
    outcome: isKept ? "allowed" : "failed",
    actor,
    factory,
    ...requested,
    body: {
      action: isKept ? `${product.name}.refreshed` : `${product.name}.failed`,
      registry: demand.host ?? demand.entry.id,
      entry: demand.entry.id,
      ...openedBy(demand, secret),
      ...(demand.repositories && { repositories: demand.repositories }),
      ...(!isKept && { code: outcome.failedWith }),
    },
  });
}
