import type { AuditEvent } from "../audit/events.js";
import type { RequestedBy } from "../audit/requested-by.js";
import { actorOf, type Caller, type FactoryRef } from "../identity/caller.js";
import type { Demand } from "./decide-demands.js";
import type { CachedToken } from "./token-cache.js";

/** A token that can go out once its audit row stands. */
export type Ready = {
  demand: Demand;
  secret: { id: string; name: string; version: number };
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
      secret: one.secret.name,
      secretVersion: one.secret.version,
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
