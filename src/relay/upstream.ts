import { Readable } from "node:stream";
import type { RequestedBy } from "../audit/record.js";
import type { Demand } from "../broker/issue/decide-demands.js";
import { cacheKey } from "../broker/issue/issue-token.js";
import type { SecretRef } from "../broker/issue/issued-event.js";

import { type MintDeps, openAndMint } from "../broker/issue/open-and-mint.js";
import type { HeldProduct } from "../broker/issue/products.js";
import type { CachedToken } from "../broker/issue/token-cache.js";
import { apiHostOf, apiRepositoryOf } from "../broker/providers/docker/docker-token.js";
import type { UpstreamCredential } from "../broker/providers/upstream-credential.js";
import { throwUnlessAnswered, upstreamRefused } from "../broker/providers/upstream-reply.js";
import type { Actor, FactoryRef } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import type { OpenReply, Outbound } from "../outbound/outbound.js";

export type UpstreamDeps = MintDeps & {
  outbound: Pick<Outbound, "open" | "judge">;
  upstreamCredentials: HeldProduct<UpstreamCredential>;
};

/** One request to the registry of an entry, for a caller of whom it was decided that it may pull the repository. */
export type UpstreamQuestion = {
  factory: FactoryRef;
  actor: Actor;
  requested: RequestedBy;
  /** Counts a credential that has to be minted for it. @throws Problem `too-many-requests` */
  admit: () => void;
  /** The entry with the registry's host. What the credential is narrowed to is `repository`. */
  demand: Demand & { host: string };
  /** The version that opens it; absent for an entry that names none. */
  secret: SecretRef | undefined;
  repository: string;
  method: "GET" | "HEAD";
  /** Behind `/v2/<repository>/`: `manifests/latest`, `blobs/sha256:…`, `tags/list?n=10`, `referrers/sha256:…`. */
  path: string;
  /** Of the client's those that the registry may see: `accept`, `range`, `if-range`, `if-none-match`. In lower case. */
  headers: Readonly<Record<string, string>>;
  /** The names by which the client may know this service, without ports: it is not redirected to a name below them. */
  ownHosts: readonly string[];
  /** Aborted when the client goes away. */
  signal: AbortSignal;
};

/**
 * What the registry answered: 200, 206, 304, or 307 with the `location` that the client is to go to. Headers are those
 * that a client may see, in lower case; `link` is the registry's own. The body must be read or destroyed.
 */
export type UpstreamAnswer = { status: number; headers: Readonly<Record<string, string>>; body: Readable };

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
const maxHops = 5;

/**
 * Asks the registry with a credential as narrow as it makes them, minted or from memory, and with a new one when it
 * refuses that with 401. The credential goes to the registry's own host alone. A redirect of a blob is given back as 307,
 * or followed without the credential where the entry says `relay: stream`, or where it leads below a name of this service.
 *
 * @throws Problem: `not-found` when the registry has none, `range-not-satisfiable`, `upstream-refused` and
 *   `scope-not-enforceable` when it does not let the entry's credential pull this, `upstream-throttled`, the others of the
 *   dialer and the providers. `StaleFacts` when the secret's version is gone: the request is to be decided anew.
 */
export async function askUpstream(deps: UpstreamDeps, question: UpstreamQuestion): Promise<UpstreamAnswer> {
  const { cached, fromCache } = await credentialFor(deps, question);
  const first = await send(deps, question, cached.token);
  const isReplaced =
    first.status === 401 && fromCache && deps.upstreamCredentials.cache.drop(credentialKey(question), cached);
  if (!isReplaced) return answerOf(deps, question, first);
  discard(first.body);
  const next = await credentialFor(deps, question);
  return answerOf(deps, question, await send(deps, question, next.cached.token));
}

/** All that a credential, and what it opens, depends on. Google's reach the same whatever repository is asked for. */
function credentialKey({ factory, demand, secret, repository }: UpstreamQuestion): string {
  const repositories = demand.entry.type === "gar" ? undefined : [repository];
  return cacheKey(factory.id, secret, { ...demand, repositories, allowBroader: true });
}

/** Names the question as far as its answer depends on it: two that are equal, of whichever callers, have one answer. */
export function questionKey(question: UpstreamQuestion): string {
  const { factory, demand, secret, repository } = question;
  return cacheKey(factory.id, secret, { ...demand, repositories: [repository], allowBroader: true });
}

async function credentialFor(
  deps: UpstreamDeps,
  question: UpstreamQuestion,
): Promise<{ cached: CachedToken<UpstreamCredential>; fromCache: boolean }> {
  const { factory, actor, secret, demand, repository, requested } = question;
  const { upstreamCredentials } = deps;
  const mint = {
    factory,
    secret,
    demand: { ...demand, repositories: [repository], allowBroader: true },
    // The secret is opened and what it gave is kept here: the audit has that as `registry-token.refreshed`.
    purpose: "refresh",
  } as const;
  const refresher: Actor = { kind: "service", id: "", name: "refresh" };
  return upstreamCredentials.cache.get(credentialKey(question), undefined, {
    admit: question.admit,
    mint: () => openAndMint(deps, upstreamCredentials, { ...mint, actor, requested }),
    refresh: () => openAndMint(deps, upstreamCredentials, { ...mint, actor: refresher, requested: {} }),
  });
}

function send(deps: UpstreamDeps, question: UpstreamQuestion, credential: UpstreamCredential): Promise<OpenReply> {
  const { demand, repository, path, method, headers, signal } = question;
  const url = `https://${apiHostOf(demand.host)}/v2/${apiRepositoryOf(demand.host, repository)}/${path}`;
  const authorization = credential.authorization === undefined ? {} : { authorization: credential.authorization };
  return deps.outbound.open({ url, method, headers: { ...headers, ...authorization }, signal });
}

async function answerOf(deps: UpstreamDeps, question: UpstreamQuestion, reply: OpenReply): Promise<UpstreamAnswer> {
  const host = reply.url.hostname;
  if (redirects.has(reply.status)) return redirectedTo(deps, question, reply, 1);
  if (reply.status === 200 || reply.status === 206 || reply.status === 304) {
    return { status: reply.status, headers: clientHeaders(reply), body: reply.body };
  }
  discard(reply.body);
  throwUnlessAnswered(host, { ...reply, body: Buffer.alloc(0) }, databaseNow().getTime());
  const { entry } = question.demand;
  switch (reply.status) {
    case 404:
      throw new Problem("not-found", `${host} has no such ${thingOf(question.path)} in ${question.repository}.`);
    case 416:
      throw new Problem("range-not-satisfiable", `${host} has no such part of this ${thingOf(question.path)}.`);
    case 401:
    case 403:
      throw upstreamRefused(
        { entry, secret: question.secret },
        host,
        `status ${reply.status} for ${question.repository}. Check the name, and that the credential may pull it.`,
      );
    default:
      throw new Problem("upstream-invalid", `${host} answered with status ${reply.status}, which no pull has.`);
  }
}

/**
 * Where the registry sends the client for a blob. The address is judged as if this service called it, since anyone who runs
 * a registry could otherwise send clients of this service into the networks that they are in.
 */
async function redirectedTo(
  deps: UpstreamDeps,
  question: UpstreamQuestion,
  reply: OpenReply,
  hop: number,
): Promise<UpstreamAnswer> {
  discard(reply.body);
  const host = reply.url.hostname;
  const target = locationOf(reply);
  if (!question.path.startsWith("blobs/")) {
    throw new Problem("upstream-invalid", `${host} answered with a redirect. Only blobs may be elsewhere.`);
  }
  if (target === undefined) {
    throw new Problem("upstream-invalid", `${host} answered with a redirect that names no address.`);
  }
  const { signal, method, headers, demand, ownHosts } = question;
  // Clients written in Go keep their `Authorization` at such a name, and storages refuse requests that have one beside
  // their signed URL.
  if (demand.entry.relay !== "stream" && hop === 1 && !isOwnOrBelow(target.hostname, ownHosts)) {
    const url = await deps.outbound.judge(target);
    return { status: 307, headers: { location: url.href }, body: Readable.from([]) };
  }
  if (hop > maxHops) throw new Problem("upstream-invalid", `${host} redirects more than ${maxHops} times.`);
  const next = await deps.outbound.open({ url: target, method, headers, signal });
  if (redirects.has(next.status)) return redirectedTo(deps, question, next, hop + 1);
  if (next.status === 200 || next.status === 206 || next.status === 304) {
    return { status: next.status, headers: clientHeaders(next), body: next.body };
  }
  discard(next.body);
  throwUnlessAnswered(next.url.hostname, { ...next, body: Buffer.alloc(0) }, databaseNow().getTime());
  if (next.status === 416) {
    throw new Problem("range-not-satisfiable", `${next.url.hostname} has no such part of this blob.`);
  }
  throw new Problem("upstream-invalid", `The storage of ${demand.host} answered with status ${next.status}.`);
}

function locationOf({ headers, url }: OpenReply): URL | undefined {
  const [location, ...others] = headers.location ?? [];
  if (location === undefined || location === "" || others.length > 0 || !URL.canParse(location, url.href))
    return undefined;
  const target = new URL(location, url);
  target.hash = "";
  return target;
}

const isOwnOrBelow = (hostname: string, ownHosts: readonly string[]): boolean => {
  const name = hostname.toLowerCase().replace(/\.$/, "");
  return ownHosts.some((own) => name === own || name.endsWith(`.${own}`));
};

/** What the path asks for, as a sentence calls it. */
export function thingOf(path: string): "blob" | "manifest" | "list" {
  if (path.startsWith("blobs/")) return "blob";
  return path.startsWith("manifests/") ? "manifest" : "list";
}

/** The registry's headers that a client may see. Cookies, caches and security policies of another origin are not. */
const shownHeaders = [
  "accept-ranges",
  "content-length",
  "content-range",
  "content-type",
  "docker-content-digest",
  "docker-distribution-api-version",
  "etag",
  "last-modified",
  "link",
  "oci-filters-applied",
];

function clientHeaders({ headers }: OpenReply): Record<string, string> {
  const shown = shownHeaders.flatMap((name) => {
    const values = headers[name];
    return values === undefined ? [] : [[name, values.join(", ")]];
  });
  return Object.fromEntries(shown);
}

const maxDiscardedBytes = 64 * 1024;
const discardMs = 2_000;

/**
 * Ends a call whose body is of no interest. A short one is read to its end, so that the connection stays: most blobs are
 * a redirect, and would cost a handshake each.
 */
export function discard(body: Readable): void {
  let left = maxDiscardedBytes;
  const timer = setTimeout(() => body.destroy(), discardMs).unref();
  body.on("error", () => undefined).on("close", () => clearTimeout(timer));
  body.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) body.destroy();
  });
}

// What browsers show or run must not come from this origin, where the console is.
const harmlessType =
  /^application\/(?:json|octet-stream|vnd\.[a-z0-9.-]+(?:\+(?!xml)[a-z0-9]+)*)(?:; ?charset=[a-z0-9-]+)?$/i;

/** A content type as the registry sent it, unless browsers would do something with it. */
export function harmlessContentType(contentType: string | undefined): string {
  return contentType !== undefined && harmlessType.test(contentType) ? contentType : "application/octet-stream";
}
