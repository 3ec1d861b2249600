import type { AuditEvent } from "../audit/events.js";
import { type AuditWriter, requestedBy } from "../audit/record.js";

import { byCurrentFacts, decideAgain, observeStale } from "../broker/issue/by-current-facts.js";
import type { FactoryFacts, Facts } from "../broker/issue/factory-facts.js";
import { openedBy, type SecretRef } from "../broker/issue/issued-event.js";
import { type Actor, actorOf, type Caller, type FactoryRef, standingOf } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import type { Generations } from "../db/generations.js";
import { send } from "../http/send.js";
import type { WireRequest } from "../http/wire.js";
import type { Callers } from "../identity/callers.js";
import type { TokenRequests } from "../limits/token-requests.js";
import { decidePull, type PullDecision } from "./decide-pull.js";
import { type AskedList, type AskedOfPlace, isDigest, relayedLink, upstreamPath } from "./names.js";
import { OciProblem } from "./oci-errors.js";
import { type BlobDeps, relayBlob } from "./send-blob.js";
import { type Manifest, type ManifestDeps, type Manifests, sendManifest } from "./send-manifest.js";
import { askUpstream, harmlessContentType, type UpstreamQuestion } from "./upstream.js";

export type PullDeps = BlobDeps &
  ManifestDeps & {
    audit: AuditWriter;
    manifests: Manifests;
    facts: Facts;
    callers: Callers;
    generations: Generations;
    tokenRequests: Pick<TokenRequests, "count">;
    relayedManifests: TokenRequests;
    /** Counts that a version of a secret was used, and by whom. */
    onPulled(secret: SecretRef | undefined, actor: Actor): void;
  };

/** One request of a caller for something in a repository. */
export type Pull = {
  caller: Caller;
  factory: FactoryRef;
  asked: AskedOfPlace;
  /** What the token that the caller came with is limited to. */
  names: ReadonlySet<string> | undefined;
  /** How the relay itself is called, without ports. */
  ownHosts: readonly string[];
  wire: WireRequest;
};

/** Those of the client's headers that its registry needs. Node has joined several `Accept` lines to one. */
const passedHeaders = ["accept", "range", "if-range", "if-none-match"] as const;

/** Different questions of a factory's callers in a minute; those beyond are counted without the caller. */
const maxKindsOfFactory = 1_000;
const otherCallers: Actor = { kind: "unknown", id: "", name: "others" };

/**
 * Answers a pull, if the caller may have it now: by the factory's facts and the caller's record of one generation, which
 * the database confirms for each request.
 * @throws Problem before the first byte of the answer
 */
export async function answerPull(deps: PullDeps, pull: Pull): Promise<void> {
  const { asked, wire } = pull;
  if (asked.what === "blob") return answerBlob(deps, pull);
  await deps.relayedManifests.count(pull.caller);
  if (asked.what !== "manifest") return answerList(deps, pull, asked);
  const isHead = wire.request.method === "HEAD";
  sendManifest(wire.response, await (isHead ? lookedUp(deps, pull) : pulled(deps, pull)));
}

/** A manifest is audited: the row, which is conditional on what was decided, is durable before its first byte. */
function pulled(deps: PullDeps, pull: Pull): Promise<Manifest> {
  return byCurrentFacts(deps, pull, async (facts, caller) => {
    const decision = await decided(deps, pull, facts, caller);
    if (decision === decideAgain) return decideAgain;
    const manifest = await ask(deps, pull, caller, decision, (question) => deps.manifests.get(deps, question));
    const condition = { generation: facts.generation, standing: standingOf(caller) };
    const outcome = await deps.audit.writeIfCurrent(pulledEvent(pull, caller, decision, manifest), condition);
    if (!outcome.written) return observeStale(deps, pull.factory, outcome);
    deps.onPulled(decision.secret, actorOf(caller));
    return manifest;
  });
}

function lookedUp(deps: PullDeps, pull: Pull): Promise<Manifest> {
  return confirmed(deps, pull, async (caller, decision) => {
    await recordLook(deps.audit, pull, caller, decision);
    return ask(deps, pull, caller, decision, (question) => deps.manifests.get(deps, question));
  });
}

function answerBlob(deps: PullDeps, pull: Pull): Promise<void> {
  const { response } = pull.wire;
  return confirmed(deps, pull, (caller, decision) =>
    ask(deps, pull, caller, decision, (question) => relayBlob(deps, question, placeOf(caller), response)),
  );
}

async function answerList(deps: PullDeps, pull: Pull, asked: AskedList): Promise<void> {
  const { response } = pull.wire;
  const { registry } = asked.place;
  const { answer, body } = await confirmed(deps, pull, async (caller, decision) => {
    await recordLook(deps.audit, pull, caller, decision);
    const answer = await ask(deps, pull, caller, decision, (question) => askUpstream(deps, question));
    return { answer, body: await deps.manifests.readList(answer, registry) };
  });
  const { "content-length": _length, link: given, "content-type": type, ...headers } = answer.headers;
  const link = given === undefined ? undefined : relayedLink(given, asked);
  const safe = { "content-type": harmlessContentType(type), "x-content-type-options": "nosniff" };
  send(response, answer.status, { ...headers, ...safe, ...(link !== undefined && { link }) }, body);
}

/** What leaves without a row of its own is confirmed by one statement before its registry is asked. */
function confirmed<T>(
  deps: PullDeps,
  pull: Pull,
  answer: (caller: Caller, decision: PullDecision) => Promise<T>,
): Promise<T> {
  return byCurrentFacts(deps, pull, async (facts, caller) => {
    const decision = await decided(deps, pull, facts, caller);
    if (decision === decideAgain || !(await deps.facts.hold(facts, caller))) return decideAgain;
    deps.onPulled(decision.secret, actorOf(caller));
    return answer(caller, decision);
  });
}

/** Whose blobs are counted together: as for tokens, workloads of one rule are told apart by their `sub`. */
const placeOf = ({ kind, id, name }: Caller): string => `${kind} ${id} ${name}`;

// A refusal by facts of yesterday is as wrong as a pull.
async function decided(
  deps: PullDeps,
  { asked, names }: Pull,
  facts: FactoryFacts,
  caller: Caller,
): Promise<PullDecision | typeof decideAgain> {
  try {
    return decidePull(facts, caller, asked.place, names);
  } catch (error) {
    if (error instanceof Problem && (await deps.facts.areOutdated(facts, caller))) return decideAgain;
    throw error;
  }
}

/** Puts the question to the registry. That it has no such thing is told in the words of what was asked for. */
async function ask<T>(
  deps: PullDeps,
  pull: Pull,
  caller: Caller,
  decision: PullDecision,
  put: (question: UpstreamQuestion) => Promise<T>,
): Promise<T> {
  const { asked, factory, wire, ownHosts } = pull;
  const { headers, method } = wire.request;
  const question: UpstreamQuestion = {
    ...decision,
    factory,
    actor: actorOf(caller),
    requested: requestedBy(wire.facts),
    admit: () => deps.tokenRequests.count(caller),
    repository: asked.place.repository,
    method: method === "HEAD" ? "HEAD" : "GET",
    path: upstreamPath(asked),
    headers: Object.fromEntries(
      passedHeaders.flatMap((name) => (headers[name] ? [[name, String(headers[name])]] : [])),
    ),
    ownHosts,
    signal: wire.facts.signal,
  };
  try {
    return await put(question);
  } catch (error) {
    if (!(error instanceof Problem) || error.code !== "not-found") throw error;
    throw new OciProblem(unknownCode[asked.what], "not-found", error.detail);
  }
}

const unknownCode = {
  manifest: "MANIFEST_UNKNOWN",
  blob: "BLOB_UNKNOWN",
  tags: "NAME_UNKNOWN",
  referrers: "MANIFEST_UNKNOWN",
} as const;

function eventOf({ factory, wire, asked }: Pull, caller: Caller, { demand, secret }: PullDecision) {
  const { registry, repository } = asked.place;
  return {
    event: { at: databaseNow(), outcome: "allowed", actor: actorOf(caller), factory, ...requestedBy(wire.facts) },
    facts: { registry, entry: demand.entry.id, repository, ...openedBy(demand, secret) },
  } as const;
}

function pulledEvent(pull: Pull, caller: Caller, decision: PullDecision, { digest = "" }: Manifest): AuditEvent {
  const { asked } = pull;
  const { event, facts } = eventOf(pull, caller, decision);
  const reference = asked.what === "manifest" && !isDigest(asked.reference) ? { reference: asked.reference } : {};
  const evidence = caller.evidence ? { evidence: caller.evidence } : {};
  return { ...event, body: { action: "image.pulled", ...facts, ...reference, digest, ...evidence } };
}

/** Clients ask HEAD before GET, and poll tags: the first in a minute is written at once, the others as one count. */
async function recordLook(audit: AuditWriter, pull: Pull, caller: Caller, decision: PullDecision): Promise<void> {
  const { event, facts } = eventOf(pull, caller, decision);
  const { what } = pull.asked;
  if (what === "blob") return;
  const looked = { ...event, body: { action: "image.looked-up", of: what, ...facts } } as const;
  const { actor } = event;
  const key = [what, facts.registry, facts.repository];
  await audit.writeCounted(
    { key: [actor.kind, actor.id, actor.name, ...key], event: looked },
    { key, event: { ...looked, actor: otherCallers }, maxOfFactory: maxKindsOfFactory },
  );
}
