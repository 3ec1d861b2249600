import { LRUCache } from "lru-cache";
import { ecrPublicHost } from "../../../core/cloud-hosts.js";
import { Problem } from "../../../core/problem.js";
import type { AwsEntry } from "../../../factory-config/entry.js";
import { type CloudOutbound, onlyToHosts } from "../cloud-hosts.js";
import { type MintedScope, scopeNotEnforceable, withoutWayOut } from "../docker/token-claims.js";
import type { MintedAwsCredentials, MintedToken, MintRequest, RegistryProvider } from "../provider.js";
import { checkRepositoryNames } from "../repository-names.js";
import { lifeOf } from "../token-life.js";
import { upstreamInvalid } from "../upstream-reply.js";
import { isAwsServiceHost } from "./clients.js";
import { type EcrPassword, getEcrPassword, getEcrPublicPassword } from "./ecr.js";
import {
  type AwsPrincipal,
  openLimitedSession,
  openSession,
  openSessionOf,
  ownLocation,
  publicLoginPolicy,
  readPrincipal,
} from "./session.js";
import { type AwsSession, placeOfRegistry, readEcrRegistry, type Sts, type StsDeps } from "./sts.js";

export type AwsDeps = { outbound: CloudOutbound; now: () => Date };

/** Beside registry passwords: the limited session itself, for programs that speak AWS. */
export type AwsProvider = RegistryProvider<AwsEntry> & {
  mintCredentials(request: MintRequest<AwsEntry>): Promise<MintedAwsCredentials>;
};

/**
 * Sessions that are handed out cannot be called back, and their programs ask for the next one by themselves. Every role
 * allows an hour.
 */
const credentialsSeconds = 3_600;

// What AWS documents; a password states its end itself.
const passwordSeconds = 12 * 3_600;

/** In a resource of a session policy: all repositories of the registry. */
const everyRepository = ["*"];

/**
 * Amazon ECR and ECR Public: a password for the user `AWS`, 12 hours. With repositories the ECR token is asked for by a
 * session that an IAM session policy limits to them; the token reaches what that session reaches.
 */
export function createAwsProvider(deps: AwsDeps): AwsProvider {
  const outbound = onlyToHosts(deps.outbound, "AWS", isAwsServiceHost);
  const nowMs = () => deps.now().getTime();
  const knownDurations = new LRUCache<string, number>({ max: 1_000, ttl: 6 * 3_600_000 });

  async function mint(request: MintRequest<AwsEntry>): Promise<MintedToken> {
    const principal = readPrincipal(request);
    const registry = readEcrRegistry(request);
    const place = placeOfRegistry(request, registry);
    const sts: Sts = { deps: { outbound, nowMs, knownDurations }, request, place };
    if (registry?.public === true) return mintPublic(request, principal, sts);
    checkRepositoryNames(request.repositories ?? []);
    const { session, scope } = await openSession(request, principal, sts, registry);
    const password = await getEcrPassword({ outbound, nowMs }, request, { ...place, keys: session.keys });
    const host = request.host ?? password.proxyHost;
    if (host === undefined) throw upstreamInvalid("Amazon ECR", "it named no registry");
    return tokenOf(host, { password, session, scope }, nowMs());
  }

  async function mintPublic(request: MintRequest<AwsEntry>, principal: AwsPrincipal, sts: Sts): Promise<MintedToken> {
    if (request.repositories !== undefined && !request.allowBroader) {
      throw scopeNotEnforceable(
        "Every image of Amazon ECR Public can be read by anyone, so no token is limited to some of them. Leave repositories out.",
      );
    }
    // A login for pulling needs two actions; a role's session is not given more.
    const session = await openSessionOf(sts, principal, publicLoginPolicy);
    const password = await getEcrPublicPassword({ outbound, nowMs }, request, session.keys);
    return tokenOf(request.host ?? ecrPublicHost, { password, session, scope: { scopeEnforcedBy: "none" } }, nowMs());
  }

  return {
    mint,
    mintCredentials: (request) => mintCredentials({ outbound, nowMs, knownDurations }, request),
  };
}

async function mintCredentials(deps: StsDeps, request: MintRequest<AwsEntry>): Promise<MintedAwsCredentials> {
  const { repositories, entry } = request;
  const principal = readPrincipal(request);
  const registry = readEcrRegistry(request);
  if (registry?.public === true) {
    throw new Problem(
      "not-representable",
      "Amazon ECR Public has no repositories that AWS credentials could be narrowed to. Ask for a registry token.",
    );
  }
  checkRepositoryNames(repositories ?? []);
  const place = placeOfRegistry(request, registry);
  const sts: Sts = { deps, request, place, maxSessionSeconds: credentialsSeconds };
  const location = registry ?? (await ownLocation(entry.region, principal, sts));
  const limitedTo = repositories ?? everyRepository;
  const session = await openLimitedSession(request, principal, sts, location, limitedTo).catch((error: unknown) => {
    throw withoutWayOut(error);
  });
  const { accessKeyId, secretAccessKey, sessionToken } = session.keys;
  if (sessionToken === undefined || session.expiresAt === undefined) {
    throw upstreamInvalid("AWS STS", "its session has no end");
  }
  return {
    registry: request.host ?? entry.id,
    keys: { accessKeyId, secretAccessKey, sessionToken },
    ...lifeOf("AWS STS", deps.nowMs(), [session.expiresAt.getTime()], credentialsSeconds),
    scopeEnforcedBy: "iam-session-policy",
    ...(repositories && { repositories }),
  };
}

function tokenOf(
  host: string,
  made: { password: EcrPassword; session: AwsSession; scope: MintedScope },
  nowMs: number,
): MintedToken {
  const { password, session, scope } = made;
  // Nothing promises that a password outlives the session that asked for it, and nothing that it does not.
  const ends = [password.expiresAt.getTime(), session.expiresAt?.getTime()];
  return {
    registry: host,
    type: "aws",
    kind: "password",
    username: "AWS",
    password: password.password,
    ...lifeOf("Amazon ECR", nowMs, ends, passwordSeconds),
    ...scope,
    revocable: false,
  };
}
