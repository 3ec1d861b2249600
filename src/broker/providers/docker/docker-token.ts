import { z } from "zod";
import { dockerHubApiHost, isDockerHub } from "../../../core/normalise-host.js";
import { Problem } from "../../../core/problem.js";
import { ForeignToken, optionalMember, StatedSeconds } from "../../../outbound/foreign-json.js";
import type { Outbound, OutboundReply } from "../../../outbound/outbound.js";
import { endAfter, lifeOf, type TokenLife } from "../token-life.js";
import { readJson, throwUnlessAnswered, upstreamInvalid } from "../upstream-reply.js";
import { readTokenClaims, type TokenClaims } from "./token-claims.js";
import type { UserPassword } from "./user-password.js";

export type RealmDeps = {
  outbound: Pick<Outbound, "request">;
  now: () => Date;
  allowedRealms: readonly AllowedRealm[];
};

/** How long a token is used whose registry does not say how long it lives (distribution spec, auth/token). */
export const defaultTokenSeconds = 60;

/** Where a registry's tokens come from. */
export type Realm = { url: URL; service: string | undefined };

/** How a registry asks who is there. */
export type Challenge = { kind: "realm"; realm: Realm } | { kind: "basic" } | { kind: "none" };

/** Which registry to ask, and the names by which it knows the repositories that are wanted of it. */
export type AskedRegistry = { registry: string; repositories: readonly string[] };

const maxAsked = 5;
const maxManifestBytes = 1024 * 1024;

/**
 * Asks the registry, without a credential, how it wants to be spoken to. One that lets everybody in at `/v2/` may still
 * ask for a credential at its repositories.
 * @throws Problem `destination-refused` when it names a token service elsewhere, `upstream-invalid` when it is not a registry
 */
export async function findChallenge(
  deps: RealmDeps,
  { registry, repositories }: AskedRegistry,
  signal: AbortSignal,
): Promise<Challenge> {
  const paths = repositories.slice(0, maxAsked).map((name) => `${name}/manifests/latest`);
  for (const path of ["", ...paths]) {
    const challenge = await challengeAt(deps, registry, path, signal);
    if (challenge.kind !== "none") return challenge;
  }
  return { kind: "none" };
}

async function challengeAt(deps: RealmDeps, registry: string, path: string, signal: AbortSignal): Promise<Challenge> {
  const apiHost = apiHostOf(registry);
  const url = `https://${apiHost}/v2/${path}`;
  const reply = await deps.outbound.request({ url, signal, maxBytes: maxManifestBytes });
  throwUnlessAnswered(apiHost, reply, deps.now().getTime());
  const challenges = parseChallenges(reply.headers["www-authenticate"] ?? []);
  const bearer = challenges.find(({ scheme, params }) => scheme === "bearer" && params.has("realm"));
  const realm = bearer?.params.get("realm");
  if (reply.status === 401 && realm !== undefined) {
    const url = checkedRealm(apiHost, realm, deps.allowedRealms);
    return { kind: "realm", realm: { url, service: bearer?.params.get("service") } };
  }
  if (reply.status === 401 && challenges.some(({ scheme }) => scheme === "basic")) return { kind: "basic" };
  // Of a repository any other answer, such as 404 for a tag that does not exist, was given without a credential.
  if (reply.status === 200 || (path !== "" && reply.status !== 401)) return { kind: "none" };
  throw upstreamInvalid(registry, `status ${reply.status} instead of a challenge; it may be no container registry`);
}

/** Where the registry's tokens come from. @throws Problem `nothing-to-mint` when it has none */
export async function findRealm(deps: RealmDeps, asked: AskedRegistry, signal: AbortSignal): Promise<Realm> {
  const { registry } = asked;
  const challenge = await findChallenge(deps, asked, signal);
  switch (challenge.kind) {
    case "realm":
      return challenge.realm;
    case "basic":
      throw nothingToMint(registry, "takes the user and password themselves and issues no tokens");
    case "none":
      throw nothingToMint(registry, "asks for no credential");
    default:
      return challenge satisfies never;
  }
}

/** The URL that gives a token for the scopes. Without any it tells whether the credential is right. */
export function realmUrl(realm: Realm, scopes: readonly string[]): URL {
  const url = new URL(realm.url);
  if (realm.service !== undefined) url.searchParams.set("service", realm.service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  return url;
}

// What a program in Go writes for a time that it has not set.
const zeroTimeMs = Date.parse("0001-01-01T00:00:00Z");

/** A token of a token service, and what it says about itself. */
export type RealmToken = { bearer: string; claims: TokenClaims; life: TokenLife };

/** Reads the reply of a token service. @throws Problem `upstream-invalid` when it holds no token, or one that has ended */
export function readRealmToken(realmHost: string, reply: OutboundReply, nowMs: number): RealmToken {
  const { token, access_token, expires_in, issued_at } = readJson(realmHost, reply, RealmReply);
  const bearer = token ?? access_token;
  if (bearer === undefined) throw upstreamInvalid(realmHost, "its reply holds no token");
  const statedMs = Date.parse(issued_at ?? "");
  const issuedMs = statedMs === zeroTimeMs ? Number.NaN : statedMs;
  // The realm's clock may be ahead of ours: the token then ends, by ours, sooner than the realm says.
  const startMs = Number.isNaN(issuedMs) ? nowMs : Math.min(issuedMs, nowMs);
  const claims = readTokenClaims(bearer);
  const ends = [endAfter(startMs, expires_in), endAfter(issuedMs, expires_in), claims.expiresAtMs];
  return { bearer, claims, life: lifeOf(realmHost, nowMs, ends, defaultTokenSeconds) };
}

/**
 * Some token services hand back what they were given, plain or in base64: that is not a narrow token, it is the secret.
 * @throws Problem `nothing-to-mint`
 */
export function refuseStoredCredential(registry: string, bearer: string, { password }: UserPassword): void {
  // A password this short would be found in any text.
  if (password.length < 8) return;
  const decoded = Buffer.from(bearer, "base64").toString("utf8");
  if (bearer.includes(password) || decoded.includes(password)) {
    throw nothingToMint(registry, "hands the stored credential back instead of a token of its own");
  }
}

function nothingToMint(registry: string, why: string): Problem {
  return new Problem(
    "nothing-to-mint",
    `${registry} ${why}, so there is no short-lived token to make. An operator can allow passThrough (FACTORY_SECRETS_PASS_THROUGH_HOSTS=${registry}); the entry then hands out the stored credential.`,
  );
}

/**
 * What a token service answers (distribution spec, auth/token). Some send both members of the token and leave one empty,
 * as Harbor does.
 */
export const RealmReply = z.object({
  token: optionalMember(ForeignToken),
  access_token: optionalMember(ForeignToken),
  expires_in: StatedSeconds,
  issued_at: optionalMember(z.string()),
});

/** One challenge of a `WWW-Authenticate` header. Scheme and parameter names are in lower case. */
export type HeaderChallenge = { scheme: string; params: ReadonlyMap<string, string> };

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const paramStart = new RegExp(`^(${token})[ \\t]*=[ \\t]*(?="|${token})`);
const schemeStart = new RegExp(`^(${token})(?:[ \\t]+|$|(?=,))`);
// What `Negotiate` and its like send in place of parameters: one token68. It ends its challenge.
const token68 = /^[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/;
const quotedString = /^"((?:[^"\\]|\\.)*)"/;
const plainValue = new RegExp(`^${token}`);

// More than any registry sends; bounds the work on a header that was made to keep us busy.
const maxChallenges = 16;

/**
 * Reads all challenges of all `WWW-Authenticate` headers (RFC 9110, section 11.6.1): several may stand in one header,
 * and a comma inside quotes separates nothing. What cannot be read ends its header; what precedes it counts.
 */
export function parseChallenges(headers: readonly string[]): HeaderChallenge[] {
  return headers.flatMap(parseHeader).slice(0, maxChallenges);
}

function parseHeader(header: string): HeaderChallenge[] {
  const challenges: { scheme: string; params: Map<string, string> }[] = [];
  let rest = header.trim();
  while (rest !== "") {
    const current = challenges.at(-1);
    const param = current === undefined ? undefined : readParam(rest);
    if (current !== undefined && param !== undefined) {
      // RFC 9110: a name must not occur twice. The first one counts, so that nothing appended can replace it.
      if (!current.params.has(param.name)) current.params.set(param.name, param.value);
      rest = skipSeparators(param.rest);
      continue;
    }
    const scheme = schemeStart.exec(rest);
    if (scheme?.[1] === undefined) break;
    challenges.push({ scheme: scheme[1].toLowerCase(), params: new Map() });
    const behind = rest.slice(scheme[0].length);
    rest = skipSeparators(behind.slice(/[ \t]$/.test(scheme[0]) ? (token68.exec(behind)?.[0].length ?? 0) : 0));
  }
  return challenges;
}

function readParam(text: string): { name: string; value: string; rest: string } | undefined {
  const start = paramStart.exec(text);
  const name = start?.[1]?.toLowerCase();
  if (start === null || name === undefined) return undefined;
  const afterEquals = text.slice(start[0].length);
  const quoted = quotedString.exec(afterEquals);
  if (quoted?.[1] !== undefined) {
    return { name, value: quoted[1].replace(/\\(.)/g, "$1"), rest: afterEquals.slice(quoted[0].length) };
  }
  const plain = plainValue.exec(afterEquals);
  return plain === null ? undefined : { name, value: plain[0], rest: afterEquals.slice(plain[0].length) };
}

function skipSeparators(text: string): string {
  return text.replace(/^[\s,]+/, "");
}

/** An operator's permission: credentials for `registryHost` may go to a realm on `realmHost`. */
export type AllowedRealm = { registryHost: string; realmHost: string };

// Registries whose realm is known to be on another host.
const knownRealms: readonly AllowedRealm[] = [
  { registryHost: dockerHubApiHost, realmHost: "auth.docker.io" },
  { registryHost: "registry.gitlab.com", realmHost: "gitlab.com" },
  { registryHost: "nvcr.io", realmHost: "authn.nvidia.com" },
];

/**
 * Judges the realm that a registry named. Credentials go there when it is on the registry's own host (any port: a
 * self-hosted GitLab has its realm on 443 and its registry elsewhere), a known pair, or one that the operator allowed:
 * otherwise anyone who runs the registry, or precedes it, could have them sent anywhere.
 * @param registry `host` or `host:port` of the registry
 * @throws Problem `upstream-invalid` or `destination-refused`
 */
export function checkedRealm(registry: string, realm: string, allowed: readonly AllowedRealm[]): URL {
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (url === undefined || url.protocol !== "https:" || url.username !== "" || url.password !== "") {
    throw new Problem("upstream-invalid", `${registry} names a token service that is not an https URL.`);
  }
  const registryHost = new URL(`https://${registry}`).hostname;
  const realmHost = url.hostname.replace(/\.$/, "");
  const isAllowed = [...knownRealms, ...allowed].some(
    (pair) => pair.registryHost === registryHost && pair.realmHost === realmHost,
  );
  if (realmHost === registryHost || isAllowed) return url;
  throw new Problem(
    "destination-refused",
    `${registry} wants its credential sent to ${realmHost}, which is not its own host. If that is right, an operator can allow it: FACTORY_SECRETS_ALLOWED_REALMS=${registryHost}=${realmHost}`,
  );
}

/** Where the registry of an entry's host is spoken to: Docker Hub's lives under another name. */
export function apiHostOf(registry: string): string {
  return isDockerHub(registry) ? dockerHubApiHost : registry;
}

/** The name that the registry knows a repository by: an official image of Docker Hub is `library/<name>`. */
export function apiRepositoryOf(registry: string, repository: string): string {
  return isDockerHub(registry) && !repository.includes("/") ? `library/${repository}` : repository;
}
