import { z } from "zod";
import type { GenericEntry } from "../../factory-config/entry.js";
import { Problem } from "../../http/problem.js";
import type { Outbound, OutboundReply } from "../../outbound/outbound.js";
import { type MintedToken, type MintRequest, type RegistryProvider, secretOf } from "../provider.js";
import { basicAuthorization, parseUserPassword, type UserPassword } from "../secret-formats/user-password.js";
import { checkRepositoryNames } from "./repository-names.js";
import { scopeGranted, scopeNotEnforceable } from "./scope-demand.js";
import { readTokenClaims } from "./token-claims.js";
import { type AllowedRealm, apiHostOf, apiRepositoryOf, checkedRealm } from "./token-realm.js";
import { readJson, secretMalformed, throwUnlessAnswered, upstreamInvalid, upstreamRefused } from "./upstream-reply.js";
import { parseChallenges } from "./www-authenticate.js";

export type GenericDeps = {
  outbound: Pick<Outbound, "request">;
  now: () => Date;
  /** Realms on another host than their registry, permitted by the operator. */
  allowedRealms: readonly AllowedRealm[];
  /** Registry hosts for which an entry may pass its stored credential on. */
  passThroughHosts: readonly string[];
};

// The spec's default (distribution, auth/token).
const defaultTokenSeconds = 60;
const maxTokenSeconds = 30 * 86_400;
// A stored credential has no end that we know; the caller is told to ask again, so that a new version reaches it.
const passThroughSeconds = 12 * 3_600;

const tokenReply = z.object({
  token: z.string().min(1).optional(),
  access_token: z.string().min(1).optional(),
  expires_in: z.number().positive().max(maxTokenSeconds).optional().catch(undefined),
  issued_at: z.string().optional().catch(undefined),
});

/**
 * Any registry that speaks the Docker token protocol (distribution spec, auth/token): a bearer for pulling from the named
 * repositories. A registry that takes nothing but the password itself has nothing to mint.
 */
export function createGenericProvider(deps: GenericDeps): RegistryProvider<GenericEntry> {
  return {
    mint: async (request) => {
      const registry = request.host ?? request.entry.host;
      const credential = parseUserPassword(secretOf(request).value.revealText());
      if (!credential.ok) throw secretMalformed(request, credential.mistakes);
      checkRepositoryNames(request.repositories ?? []);
      if (request.entry.passThrough) return passOn(deps, request, registry, credential.value);
      if (request.repositories === undefined) throw repositoriesRequired(registry);
      return mintBearer(deps, request, registry, { credential: credential.value, repositories: request.repositories });
    },
  };
}

async function mintBearer(
  deps: GenericDeps,
  request: MintRequest<GenericEntry>,
  registry: string,
  { credential, repositories }: { credential: UserPassword; repositories: readonly string[] },
): Promise<MintedToken> {
  const apiNames = new Map(repositories.map((name) => [apiRepositoryOf(registry, name), name]));
  const url = realmUrl(await findRealm(deps, registry, request.signal), [...apiNames.keys()]);
  const authorization = basicAuthorization(credential);
  const reply = await deps.outbound.request({ url, headers: { authorization }, signal: request.signal });
  throwUnlessAnswered(url.hostname, reply, deps.now().getTime());
  if (reply.status !== 200) {
    const advice = "Check user and token, and that they may pull the repositories.";
    throw upstreamRefused(request, url.hostname, `status ${reply.status}. ${advice}`);
  }
  const { bearer, expiresAt } = readToken(url.hostname, reply, deps.now().getTime());
  refuseStoredCredential(registry, bearer, credential);
  const claims = readTokenClaims(bearer);
  const scope = scopeGranted(request, registry, [...apiNames.keys()], claims);
  return {
    registry,
    type: "generic",
    kind: "bearer",
    bearer,
    expiresAt: claims.expiresAt !== undefined && claims.expiresAt < expiresAt ? claims.expiresAt : expiresAt,
    ...(scope.scopeEnforcedBy === "none"
      ? scope
      : { ...scope, repositories: scope.repositories.map((name) => apiNames.get(name) ?? name) }),
    revocable: false,
  };
}

type Realm = { url: URL; service: string | undefined };

/** Asks the registry, without a credential, where its tokens come from. */
async function findRealm(deps: GenericDeps, registry: string, signal: AbortSignal): Promise<Realm> {
  const apiHost = apiHostOf(registry);
  const reply = await deps.outbound.request({ url: `https://${apiHost}/v2/`, signal });
  throwUnlessAnswered(apiHost, reply, deps.now().getTime());
  const challenges = parseChallenges(reply.headers["www-authenticate"] ?? []);
  const bearer = challenges.find(({ scheme, params }) => scheme === "bearer" && params.has("realm"));
  const realm = bearer?.params.get("realm");
  if (reply.status === 401 && realm !== undefined) {
    return { url: checkedRealm(apiHost, realm, deps.allowedRealms), service: bearer?.params.get("service") };
  }
  if (reply.status === 401 && challenges.some(({ scheme }) => scheme === "basic")) {
    throw nothingToMint(registry, "takes the user and password themselves and issues no tokens");
  }
  if (reply.status === 200) throw nothingToMint(registry, "asks for no credential");
  throw upstreamInvalid(registry, `status ${reply.status} instead of a challenge; it may be no container registry`);
}

function realmUrl(realm: Realm, apiNames: readonly string[]): URL {
  const url = new URL(realm.url);
  if (realm.service !== undefined) url.searchParams.set("service", realm.service);
  for (const name of apiNames) url.searchParams.append("scope", `repository:${name}:pull`);
  return url;
}

function passOn(
  deps: GenericDeps,
  request: MintRequest<GenericEntry>,
  registry: string,
  credential: UserPassword,
): MintedToken {
  if (!deps.passThroughHosts.includes(registry)) {
    throw new Problem(
      "nothing-to-mint",
      `Registry entry "${request.entry.id}" has passThrough, but the operator's settings do not allow it for ${registry}. Remove passThrough, or let an operator set FACTORY_SECRETS_PASS_THROUGH_HOSTS=${registry}.`,
    );
  }
  if (request.repositories !== undefined && !request.allowBroader) {
    throw scopeNotEnforceable(
      `Registry entry "${request.entry.id}" passes its stored credential on, which reaches all that its user can.`,
    );
  }
  return {
    registry,
    type: "generic",
    kind: "password",
    username: credential.user,
    password: credential.password,
    expiresAt: new Date(deps.now().getTime() + passThroughSeconds * 1_000),
    scopeEnforcedBy: "none",
    revocable: false,
    raw: true,
  };
}

function readToken(realmHost: string, reply: OutboundReply, nowMs: number): { bearer: string; expiresAt: Date } {
  const { token, access_token, expires_in, issued_at } = readJson(realmHost, reply, tokenReply);
  const bearer = token ?? access_token;
  if (bearer === undefined) throw upstreamInvalid(realmHost, "its reply holds no token");
  const issuedMs = Date.parse(issued_at ?? "");
  // The realm's clock may be ahead of ours; a token is never taken to live longer than from now on.
  const startMs = Number.isNaN(issuedMs) ? nowMs : Math.min(issuedMs, nowMs);
  return { bearer, expiresAt: new Date(startMs + (expires_in ?? defaultTokenSeconds) * 1_000) };
}

/** Some token services hand back what they were given, plain or in base64: that is no narrow token, it is the secret. */
function refuseStoredCredential(registry: string, bearer: string, { password }: UserPassword): void {
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

function repositoriesRequired(registry: string): Problem {
  return new Problem(
    "repositories-required",
    `A token of ${registry} opens nothing unless repositories are named. Name "repositories" in the request, or let an operator allow passThrough (FACTORY_SECRETS_PASS_THROUGH_HOSTS=${registry}).`,
  );
}
