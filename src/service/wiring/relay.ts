import type { AuditWriter } from "../../audit/record.js";
import type { BrokerDeps } from "../../broker/issue/issue-token.js";
import type { Products } from "../../broker/issue/products.js";
import type { Actor } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { Database } from "../../db/database.js";
import type { Pipe } from "../../http/mount.js";
import type { Wire } from "../../http/wire.js";
import type { SigningKeys } from "../../identity/oauth/keys/signing-keys.js";
import { openSession } from "../../identity/trust-rules/open-session.js";
import type { Workloads } from "../../identity/trust-rules/workloads.js";
import { RelayStreams } from "../../limits/relay-streams.js";
import type { TokenRequests } from "../../limits/token-requests.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Outbound } from "../../outbound/outbound.js";
import type { CallerDeps } from "../../relay/callers.js";
import { RelayTokens } from "../../relay/relay-tokens.js";
import { createRelayWire } from "../../relay/relay-wire.js";
import type { BlobDeps } from "../../relay/send-blob.js";
import { Manifests } from "../../relay/send-manifest.js";
import { thingOf, type UpstreamQuestion } from "../../relay/upstream.js";
import type { SecretUses } from "../../secrets/usage/secret-uses.js";
import type { Settings } from "../../settings/settings.js";

const otherCallers: Actor = { kind: "unknown", id: "", name: "others" };
const maxWrongDigestsOfFactory = 1_000;

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
      settings: Pick<Settings, "publicUrl" | "relay">;
      limits: { relayTokenRequests: TokenRequests; relayedManifests: TokenRequests; sessionRequests: TokenRequests };
      uses: SecretUses;
      metrics: Metrics;
    },
): { wire: Wire; callers: CallerDeps } {
  const { prisma, audit, workloads, callers, relayKeys, publicUrl, limits, uses, pipe } = input;
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
    ...createStreaming(input),
  });
  return { wire, callers: asking };
}

/** How blobs are sent, and what is told of them. */
function createStreaming(input: {
  settings: Pick<Settings, "relay">;
  metrics: Metrics;
  audit: AuditWriter;
}): Pick<BlobDeps, "streams" | "idleMs" | "onBlob" | "onDigestWrong"> {
  const { metrics, audit } = input;
  const { maxStreams, maxStreamsOfCaller, idleSeconds } = input.settings.relay;
  const bounds = { ofCaller: maxStreamsOfCaller, ofProcess: maxStreams };
  const streams = new RelayStreams(bounds, () => metrics.requestLimited("relay-streams"));
  metrics.watchRelayStreams(() => streams.open);
  return {
    streams,
    idleMs: idleSeconds * 1_000,
    onBlob: ({ factory }, ended) => metrics.blobRelayed(factory.name, ended),
    onDigestWrong: async (question, digest) => {
      metrics.digestWasWrong(wrongThing(question));
      await recordWrongDigest(audit, question, digest);
    },
  };
}

const wrongThing = ({ path }: UpstreamQuestion): "blob" | "manifest" =>
  thingOf(path) === "blob" ? "blob" : "manifest";

/** Counted, since a caller can pull the same again as often as it likes. */
async function recordWrongDigest(audit: AuditWriter, question: UpstreamQuestion, digest: string): Promise<void> {
  const { factory, actor, requested, demand, repository } = question;
  const registry = demand.host;
  const body = { action: "image.digest-wrong", of: wrongThing(question), registry, entry: demand.entry.id } as const;
  const at = databaseNow();
  const event = { at, outcome: "failed", actor, factory, ...requested, body: { ...body, repository, digest } } as const;
  const key = [registry, repository, digest];
  await audit.writeCounted(
    { key: [actor.kind, actor.id, actor.name, ...key], event },
    { key, event: { ...event, actor: otherCallers }, maxOfFactory: maxWrongDigestsOfFactory },
  );
}
