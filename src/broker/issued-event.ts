import type { AuditEvent } from "../audit/events.js";
import type { RequestedBy } from "../audit/requested-by.js";
import { principalOf } from "../factory-config/principal-of.js";
import { actorOf, type Caller, type FactoryRef } from "../identity/caller.js";
import type { Demand } from "./decide-demands.js";
import type { CachedToken } from "./token-cache.js";

/** One version of a secret. */
export type SecretRef = { id: string; name: string; version: number };

/** A token that can go out once its audit row stands. */
export type Ready = {
  demand: Demand;
  /** Absent for an entry that names none. */
  secret: SecretRef | undefined;
  cached: CachedToken;
  fromCache: boolean;
};

/** What the audit keeps of a token that is handed out: never the token. */
export function issuedEvent(
  input: { factory: FactoryRef; requested: RequestedBy },
  caller: Caller,
  one: Ready,
): AuditEvent {
  const { token } = one.cached;
  return {
    at: new Date(),
    outcome: "allowed",
    actor: actorOf(caller),
    factory: input.factory,
    ...input.requested,
    body: {
      action: "registry-token.issued",
      registry: token.registry,
      entry: one.demand.entry.id,
      ...openedBy(one.demand, one.secret),
      kind: token.kind,
      scopeEnforcedBy: token.scopeEnforcedBy,
      expiresAt: token.expiresAt.toISOString(),
      cached: one.fromCache,
      ...(token.repositories && { repositories: token.repositories }),
      ...(token.raw && { raw: true as const }),
      ...(caller.evidence && { evidence: caller.evidence }),
    },
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
