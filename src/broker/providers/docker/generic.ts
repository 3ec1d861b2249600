import { normaliseHost } from "../../../core/normalise-host.js";
import { Problem } from "../../../core/problem.js";
import type { GenericEntry } from "../../../factory-config/entry.js";
import type { Outbound } from "../../../outbound/outbound.js";
import { type MintedToken, type MintRequest, type RegistryProvider, secretOf } from "../provider.js";
import { checkRepositoryNames } from "../repository-names.js";
import { secretMalformed, throwUnlessAnswered, upstreamRefused } from "../upstream-reply.js";
import {
  type AllowedRealm,
  apiHostOf,
  apiRepositoryOf,
  findRealm,
  readRealmToken,
  realmUrl,
  refuseStoredCredential,
} from "./docker-token.js";
import { scopeGranted, scopeNotEnforceable } from "./token-claims.js";
import { basicAuthorization, parseUserPassword, type UserPassword } from "./user-password.js";

export type GenericDeps = {
  outbound: Pick<Outbound, "request">;
  now: () => Date;
  /** Realms on another host than their registry, permitted by the operator. */
  allowedRealms: readonly AllowedRealm[];
  /** Registry hosts for which an entry may pass its stored credential on. */
  passThroughHosts: readonly string[];
};

// A stored credential has no end that we know; the caller is told to ask again, so that a new version reaches it.
const passThroughSeconds = 12 * 3_600;

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
  const pullScopes = [...apiNames.keys()].map((name) => `repository:${name}:pull`);
  const url = realmUrl(
    await findRealm(deps, { registry, repositories: [...apiNames.keys()] }, request.signal),
    pullScopes,
  );
  const authorization = basicAuthorization(credential);
  const reply = await deps.outbound.request({ url, headers: { authorization }, signal: request.signal });
  throwUnlessAnswered(url.hostname, reply, deps.now().getTime());
  if (reply.status !== 200) {
    const advice = "Check user and token, and that they may pull the repositories.";
    throw upstreamRefused(request, url.hostname, `status ${reply.status}. ${advice}`);
  }
  const { bearer, claims, life } = readRealmToken(url.hostname, reply, deps.now().getTime());
  refuseStoredCredential(registry, bearer, credential);
  const scope = scopeGranted(request, registry, [...apiNames.keys()], claims);
  return {
    registry,
    type: "generic",
    kind: "bearer",
    bearer,
    ...life,
    ...(scope.scopeEnforcedBy === "none"
      ? scope
      : { ...scope, repositories: scope.repositories.map((name) => apiNames.get(name) ?? name) }),
    revocable: false,
  };
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
    lifeUnstated: true,
    scopeEnforcedBy: "none",
    revocable: false,
    raw: true,
  };
}

function repositoriesRequired(registry: string): Problem {
  return new Problem(
    "repositories-required",
    `A token of ${registry} opens nothing unless repositories are named. Name "repositories" in the request, or let an operator allow passThrough (FACTORY_SECRETS_PASS_THROUGH_HOSTS=${registry}).`,
  );
}

/**
 * Reads the operator's list of realms on another host than their registry: `REGISTRY=REALM,...`, host names without
 * port. Every mistake is a sentence about one item; items without one are in `realms`.
 */
export function parseAllowedRealms(text: string): { realms: AllowedRealm[]; mistakes: string[] } {
  const realms: AllowedRealm[] = [];
  const mistakes: string[] = [];
  for (const item of itemsOf(text)) {
    const sides = item.split("=").map((side) => normaliseHost(side.trim()));
    const [registry, realm] = sides;
    if (sides.length !== 2 || !registry?.ok || !realm?.ok || /:/.test(registry.host + realm.host)) {
      mistakes.push(`"${item}" is not REGISTRY=REALM, two host names such as registry.example.com=auth.example.com.`);
      continue;
    }
    realms.push({ registryHost: apiHostOf(registry.host), realmHost: realm.host });
  }
  return { realms, mistakes };
}

/** Reads the operator's list of registry hosts whose stored credential an entry may pass on: `HOST[:PORT],...`. */
export function parsePassThroughHosts(text: string): { hosts: string[]; mistakes: string[] } {
  const hosts: string[] = [];
  const mistakes: string[] = [];
  for (const item of itemsOf(text)) {
    const host = normaliseHost(item);
    if (host.ok) hosts.push(host.host);
    else mistakes.push(`"${item}" is not a registry host such as registry.example.com:5000. ${host.reason}`);
  }
  return { hosts, mistakes };
}

function itemsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((item) => item !== "");
}
