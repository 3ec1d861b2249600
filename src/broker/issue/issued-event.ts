import type { AuditEvent, AwsWire } from "../../audit/events.js";
import type { RequestedBy } from "../../audit/record.js";
import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { principalOf } from "../../factory-config/entry.js";
import type { Minted } from "../providers/provider.js";
import type { Demand } from "./decide-demands.js";
import type { Product } from "./products.js";
import type { CachedToken } from "./token-cache.js";

/** One version of a secret. */
export type SecretRef = { id: string; name: string; version: number };

/** A token that can go out once its audit row stands. */
export type Ready<T extends Minted> = {
  demand: Demand;
  /** Absent for an entry that names none. */
  secret: SecretRef | undefined;
  cached: CachedToken<T>;
  fromCache: boolean;
};

/** What the audit keeps of a token that is handed out: never the token. */
export function issuedEvent<T extends Minted>(
  product: Pick<Product<T>, "issued">,
  input: { factory: FactoryRef; requested: RequestedBy; via?: AwsWire; isRepeated?: boolean },
  caller: Caller,
  one: Ready<T>,
): AuditEvent {
  const { token } = one.cached;
  const facts = {
    registry: token.registry,
    entry: one.demand.entry.id,
    ...openedBy(one.demand, one.secret),
    scopeEnforcedBy: token.scopeEnforcedBy,
    ...(token.scopeVerified !== undefined && { scopeVerified: token.scopeVerified }),
    expiresAt: token.expiresAt.toISOString(),
    cached: one.fromCache,
    ...(token.repositories && { repositories: token.repositories }),
    ...(input.via && { via: input.via }),
    ...(input.isRepeated && { repeated: true as const }),
    ...(caller.evidence && { evidence: caller.evidence }),
  };
  return {
    at: databaseNow(),
    outcome: "allowed",
    actor: actorOf(caller),
    factory: input.factory,
    ...input.requested,
    body: product.issued(facts, token),
  };
}

/** What an event says of what opened the registry: a version of a secret, or a principal that trusts the factory. */
export function openedBy(
  { entry }: Demand,
  secret: SecretRef | undefined,
): { secret: string; secretVersion: number } | { principal: string } {
  if (secret) return { secret: secret.name, secretVersion: secret.version };
  return { principal: principalOf(entry) ?? "" };
}
