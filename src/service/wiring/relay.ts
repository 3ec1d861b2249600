import type { AuditWriter } from "../../audit/record.js";
import type { BrokerDeps } from "../../broker/issue-token.js";
import type { Products } from "../../broker/products.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Database } from "../../db/database.js";
import type { Pipe } from "../../http/mount.js";
import type { Wire } from "../../http/wire.js";
import type { SigningKeys } from "../../identity/oauth/keys/signing-keys.js";
import { openSession } from "../../identity/oidc/open-session.js";
import type { Workloads } from "../../identity/oidc/workloads.js";
import { RelayStreams } from "../../limits/relay-streams.js";
import type { TokenRequests } from "../../limits/token-requests.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Outbound } from "../../outbound/outbound.js";
import type { CallerDeps } from "../../relay/callers.js";
import { RelayTokens } from "../../relay/relay-tokens.js";
import { createRelayWire } from "../../relay/relay-wire.js";
import { Manifests } from "../../relay/send-manifest.js";
import type { SecretUses } from "../../secrets/usage/secret-uses.js";
import type { Settings } from "../../settings/settings.js";

/** What a client pulls through. */
export function createRelay(
  input: Omit<BrokerDeps, "onToken"> &
    Pick<Products, "upstreamCredentials"> & {
      pipe: Pick<Pipe, "findFactory">;
      prisma: Database["prisma"];
      audit: AuditWriter;
      workloads: Workloads;
      outbound: Outbound;
      relayKeys: SigningKeys;
      publicUrl: () => string;
      settings: Pick<Settings, "publicUrl">;
      limits: { relayTokenRequests: TokenRequests; relayedManifests: TokenRequests; sessionRequests: TokenRequests };
      uses: SecretUses;
      metrics: Metrics;
    },
): { wire: Wire; callers: CallerDeps } {
  const { prisma, audit, workloads, callers, relayKeys, publicUrl, limits, uses, metrics, pipe } = input;
  const { sessionRequests, ...counted } = limits;
  const relayTokens = new RelayTokens({ keys: relayKeys, issuer: publicUrl, now: databaseNow });
  const sessions = { prisma, audit, workloads, sessionRequests };
  const asking: CallerDeps = { callers, relayTokens, openSession: (asked) => openSession(sessions, asked) };
  const wire = createRelayWire({
    ...input,
    ...asking,
    ...counted,
    manifests: new Manifests(),
    findFactory: (caller, name) => pipe.findFactory(caller, name),
    givenPublicUrl: input.settings.publicUrl,
    onPulled(secret, actor) {
      const at = databaseNow();
      // No token leaves: from now on the version is used no more.
      if (secret) uses.record({ secret, actor, at, tokenUntil: at });
    },
    streams: new RelayStreams({ ofCaller: 64, ofProcess: 1_000 }, () => metrics.requestLimited("relay-streams")),
    idleMs: 60_000,
    onBlob: () => undefined,
    onDigestWrong: async () => undefined,
  });
  return { wire, callers: asking };
}
