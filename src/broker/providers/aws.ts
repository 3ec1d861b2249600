import { LRUCache } from "lru-cache";
import { awsPartitionOf, type EcrHost, ecrPublicHost } from "../../factory-config/cloud-hosts.js";
import type { AwsEntry } from "../../factory-config/entry.js";
import { Problem } from "../../http/problem.js";
import type { MintedToken, MintRequest, RegistryProvider } from "../provider.js";
import type { AwsIdentity } from "../secret-formats/aws-credentials.js";
import { getEcrPassword, getEcrPublicPassword } from "./aws-ecr.js";
import { assumeRoles, placeOfRegistry, readAwsIdentity, readEcrRegistry } from "./aws-identity.js";
import { isAwsServiceHost } from "./aws-service-host.js";
import { type EcrLocation, publicLoginPolicy, pullPolicy, repositoriesThatFit } from "./aws-session-policy.js";
import { type AwsSession, getCallerIdentity, getFederationToken, PolicyTooLargeError, type Sts } from "./aws-sts.js";
import { type CloudOutbound, onlyToHosts } from "./cloud-hosts.js";
import { checkRepositoryNames } from "./repository-names.js";
import { type MintedScope, scopeNotEnforceable } from "./scope-demand.js";
import { upstreamInvalid } from "./upstream-reply.js";

export type AwsDeps = { outbound: CloudOutbound; now: () => Date };

type PrivateEcrHost = EcrHost & { public: false };

/**
 * Amazon ECR and ECR Public: a password for the user `AWS`, 12 hours. With repositories the ECR token is asked for by a
 * session that an IAM session policy limits to them; the token reaches what that session reaches.
 */
export function createAwsProvider(deps: AwsDeps): RegistryProvider<AwsEntry> {
  const outbound = onlyToHosts(deps.outbound, "AWS", isAwsServiceHost);
  const nowMs = () => deps.now().getTime();
  const knownDurations = new LRUCache<string, number>({ max: 1_000, ttl: 6 * 3_600_000 });

  async function mint(request: MintRequest<AwsEntry>): Promise<MintedToken> {
    const identity = readAwsIdentity(request);
    const registry = readEcrRegistry(request);
    const place = placeOfRegistry(request, registry);
    const sts: Sts = { deps: { outbound, nowMs, knownDurations }, request, place };
    if (registry?.public === true) return mintPublic(request, identity, sts);
    checkRepositoryNames(request.repositories ?? []);
    const { session, scope } = await openSession(request, identity, sts, registry);
    const password = await getEcrPassword({ outbound, nowMs }, request, { ...place, keys: session.keys });
    const host = request.host ?? password.proxyHost;
    if (host === undefined) throw upstreamInvalid("Amazon ECR", "it named no registry");
    return tokenOf(host, password, session, scope);
  }

  async function mintPublic(request: MintRequest<AwsEntry>, identity: AwsIdentity, sts: Sts): Promise<MintedToken> {
    if (request.repositories !== undefined && !request.allowBroader) {
      throw scopeNotEnforceable(
        "Every image on public.ecr.aws can be read by anyone, so no token is limited to some of them. Leave repositories out.",
      );
    }
    // A login for pulling needs two actions; a role's session is not given more.
    const session = await assumeRoles(sts, identity, publicLoginPolicy);
    const password = await getEcrPublicPassword({ outbound, nowMs }, request, session.keys);
    return tokenOf(ecrPublicHost, password, session, { scopeEnforcedBy: "none" });
  }

  return { mint };
}

/** Opens the session that asks ECR: limited to the repositories when the caller demands that, else as far as it goes. */
async function openSession(
  request: MintRequest<AwsEntry>,
  identity: AwsIdentity,
  sts: Sts,
  registry: PrivateEcrHost | undefined,
): Promise<{ session: AwsSession; scope: MintedScope }> {
  const { repositories } = request;
  if (repositories === undefined)
    return { session: await assumeRoles(sts, identity), scope: { scopeEnforcedBy: "none" } };
  try {
    const location = registry ?? (await ownLocation(request.entry.region, identity, sts));
    const session = await openLimitedSession(request, identity, sts, location, repositories);
    return { session, scope: { scopeEnforcedBy: "iam-session-policy", repositories } };
  } catch (error) {
    const isUnenforceable = error instanceof Problem && error.code === "scope-not-enforceable";
    if (!isUnenforceable || !request.allowBroader) throw error;
    return { session: await assumeRoles(sts, identity), scope: { scopeEnforcedBy: "none" } };
  }
}

async function openLimitedSession(
  request: MintRequest<AwsEntry>,
  identity: AwsIdentity,
  sts: Sts,
  location: EcrLocation,
  repositories: readonly string[],
): Promise<AwsSession> {
  const fit = repositoriesThatFit(location, repositories);
  if (fit < repositories.length) throw tooManyRepositories(repositories.length, fit);
  const policy = pullPolicy(location, repositories);
  if (identity.roles.length === 0 && identity.keys.sessionToken !== undefined) {
    // The API refuses GetFederationToken for temporary keys whatever their policy says.
    throw scopeNotEnforceable(
      `The secret "${request.secret.name}" holds temporary keys, which AWS does not let limit a token to repositories. Store keys of an IAM user with sts:GetFederationToken, or give the profile a role_arn.`,
    );
  }
  try {
    return identity.roles.length === 0
      ? await getFederationToken(sts, identity.keys, policy)
      : await assumeRoles(sts, identity, policy);
  } catch (error) {
    if (!(error instanceof PolicyTooLargeError)) throw error;
    // What STS counts is a packed form that it does not document; the share it names leads to a number that will fit.
    const estimate = Math.floor((repositories.length * 100) / (error.percent ?? 200));
    throw tooManyRepositories(repositories.length, Math.min(estimate, repositories.length - 1));
  }
}

/** Where the registry of the principal's own account is: that of the last role, else that of the keys. */
async function ownLocation(region: string, identity: AwsIdentity, sts: Sts): Promise<EcrLocation> {
  const roleAccount = identity.roles.at(-1)?.roleArn.split(":")[4];
  const account = roleAccount ?? (await getCallerIdentity(sts, identity.keys)).account;
  return { partition: awsPartitionOf(region), region, account };
}

function tooManyRepositories(asked: number, fit: number): Problem {
  return scopeNotEnforceable(
    `${asked} repositories are more than an IAM session policy holds; about ${fit} of these fit. Ask for fewer at once.`,
  );
}

function tokenOf(
  host: string,
  { password, expiresAt }: { password: string; expiresAt: Date },
  session: AwsSession,
  scope: MintedScope,
): MintedToken {
  // Nothing promises that a password outlives the session that asked for it: the earlier end is the one reported.
  const isSessionFirst = session.expiresAt !== undefined && session.expiresAt < expiresAt;
  return {
    registry: host,
    type: "aws",
    kind: "password",
    username: "AWS",
    password,
    expiresAt: isSessionFirst ? (session.expiresAt ?? expiresAt) : expiresAt,
    ...scope,
    revocable: false,
  };
}
