import type { AuditWriter } from "../../audit/record.js";
import type { Products } from "../../broker/products.js";
import type { Actor } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { RelayStreams } from "../../limits/relay-streams.js";
import type { Metrics } from "../../observability/metrics.js";
import type { Outbound } from "../../outbound/outbound.js";
import type { BlobDeps } from "../../relay/send-blob.js";
import { Manifests } from "../../relay/send-manifest.js";
import { thingOf, type UpstreamQuestion } from "../../relay/upstream.js";
import type { Settings } from "../../settings/settings.js";

const otherCallers: Actor = { kind: "unknown", id: "", name: "others" };
const maxWrongDigestsOfFactory = 1_000;

/** What asks registries and sends what they answer, and counts it. */
export function createRelaying(input: {
  settings: Pick<Settings, "relay">;
  outbound: Outbound;
  metrics: Metrics;
  audit: AuditWriter;
  upstreamCredentials: Products["upstreamCredentials"];
}): Pick<BlobDeps, "outbound" | "upstreamCredentials" | "streams" | "idleMs" | "onBlob" | "onDigestWrong"> & {
  manifests: Manifests;
} {
  const { outbound, metrics, audit, upstreamCredentials } = input;
  const { maxStreams, maxStreamsOfCaller, idleSeconds } = input.settings.relay;
  const bounds = { ofCaller: maxStreamsOfCaller, ofProcess: maxStreams };
  const streams = new RelayStreams(bounds, () => metrics.requestLimited("relay-streams"));
  metrics.watchRelayStreams(() => streams.open);
  return {
    outbound,
    upstreamCredentials,
    manifests: new Manifests(),
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
