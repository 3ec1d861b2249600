import type { GenericEntry } from "../../../factory-config/entry.js";
import type { OutboundReply } from "../../../outbound/outbound.js";
import {
  assertNothing,
  type Check,
  checkedBy,
  type Examination,
  type Examined,
  passed,
  type RegistryDoctor,
  sameByName,
  unknown,
  warned,
} from "../../doctor/check.js";
import { checkAccess, pullByDigest } from "../../doctor/repository-access.js";
import { secretMalformed, throwUnlessAnswered, upstreamRefused } from "../upstream-reply.js";
import {
  apiHostOf,
  apiRepositoryOf,
  type Challenge,
  findChallenge,
  findRealm,
  type Realm,
  readRealmToken,
  realmUrl,
  refuseStoredCredential,
} from "./docker-token.js";
import { createGenericProvider, type GenericDeps } from "./generic.js";
import { readTokenClaims } from "./token-claims.js";
import { basicAuthorization, parseUserPassword, type UserPassword } from "./user-password.js";

/** One examination's way to a registry. */
type Visit = { deps: GenericDeps; examination: Examination<GenericEntry>; registry: string; credential: UserPassword };

/**
 * Any registry that speaks the Docker token protocol: its token service is asked as `docker login` asks it, and then for
 * pulling and pushing. One whose stored credential is passed on takes it, or does not.
 */
export function createGenericDoctor(deps: GenericDeps): RegistryDoctor<GenericEntry> {
  return {
    examine: async (examination) => {
      const { secret, current, entry } = examination;
      const registry = examination.host ?? entry.host;
      const credential = parseUserPassword(secret.value.revealText());
      if (!credential.ok) throw secretMalformed(examination, credential.mistakes);
      const visit: Visit = { deps, examination, registry, credential: credential.value };
      const { checks } = entry.passThrough ? await examinePassedOn(visit) : await examineTokens(visit);
      const then = current && parseUserPassword(current.revealText());
      const same = then && sameByName("the user", credential.value.user, then.ok ? then.value.user : undefined);
      return { checks: same ? [...checks, same] : checks };
    },
  };
}

async function examineTokens(visit: Visit): Promise<Examined> {
  const { deps, examination, registry } = visit;
  const named = examination.repositories?.map((name) => apiRepositoryOf(registry, name));
  const realm = await findRealm(deps, { registry, repositories: named ?? [] }, examination.signal);
  const bearer = await logIn(visit, realm);
  const access = await checkAccess(
    {
      ask: (scope) => askRealm(visit, realm, [scope]),
      readBearer: (reply) => readRealmToken(realm.url.hostname, reply, deps.now().getTime()).bearer,
      canPull: (token, repository) => {
        const way = { outbound: deps.outbound, signal: examination.signal };
        return pullByDigest(way, { host: apiHostOf(registry), repository, bearer: token });
      },
      advice: {
        pull: "Give its user the right to pull there, and check the name.",
        push: "Store a token that may only read.",
      },
    },
    named,
  );
  const narrowing = await checkedBy("narrowing", async () => narrowingOf(visit, bearer));
  return { checks: [passed("login", `${realm.url.hostname} lets it in.`), narrowing, ...access] };
}

/** @throws Problem `nothing-to-mint` when the token is the stored credential itself */
function narrowingOf({ registry, credential }: Visit, bearer: string): Check {
  refuseStoredCredential(registry, bearer, credential);
  if (readTokenClaims(bearer).access !== undefined) {
    return passed("narrowing", "Its tokens are limited to the repositories that a job names.");
  }
  return unknown(
    "narrowing",
    "The registry's tokens do not say what they are limited to. It is believed to hold to the repositories that a job names.",
  );
}

/** The stored credential goes to the jobs themselves. */
async function examinePassedOn(visit: Visit): Promise<Examined> {
  const { deps, examination, registry } = visit;
  // Says whether the operator's settings allow it; that calls no one.
  const provider = createGenericProvider(deps);
  await provider.mint({ ...examination, repositories: undefined, allowBroader: true, assert: assertNothing });
  const named = (examination.repositories ?? []).map((name) => apiRepositoryOf(registry, name));
  const challenge = await findChallenge(deps, { registry, repositories: named }, examination.signal);
  const login = await logInAs(visit, challenge);
  const handedOut = warned(
    "narrowing",
    "The entry has passThrough: every job gets the stored credential itself, with all that it may do, for as long as it lives.",
  );
  return { checks: [login, handedOut] };
}

async function logInAs(visit: Visit, challenge: Challenge): Promise<Check> {
  const { registry } = visit;
  switch (challenge.kind) {
    case "realm":
      await logIn(visit, challenge.realm);
      return passed("login", `${challenge.realm.url.hostname} lets it in.`);
    case "basic":
      await logInWithBasic(visit);
      return passed("login", `${registry} lets it in.`);
    case "none":
      return passed("login", `${registry} asks for no credential.`);
    default:
      return challenge satisfies never;
  }
}

/** Asks the token service without a scope, as `docker login` does. @returns its token, which opens nothing */
async function logIn(visit: Visit, realm: Realm): Promise<string> {
  const { deps, examination } = visit;
  const { hostname } = realm.url;
  const reply = await askRealm(visit, realm, []);
  if (reply.status === 200) return readRealmToken(hostname, reply, deps.now().getTime()).bearer;
  throw upstreamRefused(examination, hostname, `status ${reply.status}. Check user and token, and store them again.`);
}

async function logInWithBasic({ deps, examination, registry, credential }: Visit): Promise<void> {
  const host = apiHostOf(registry);
  const headers = { authorization: basicAuthorization(credential) };
  const reply = await deps.outbound.request({ url: `https://${host}/v2/`, headers, signal: examination.signal });
  throwUnlessAnswered(host, reply, deps.now().getTime());
  if (reply.status === 200) return;
  throw upstreamRefused(examination, host, `status ${reply.status}. Check user and password, and store them again.`);
}

async function askRealm(
  { deps, examination, credential }: Visit,
  realm: Realm,
  scopes: readonly string[],
): Promise<OutboundReply> {
  const url = realmUrl(realm, scopes);
  const headers = { authorization: basicAuthorization(credential) };
  const reply = await deps.outbound.request({ url, headers, signal: examination.signal });
  throwUnlessAnswered(url.hostname, reply, deps.now().getTime());
  return reply;
}
