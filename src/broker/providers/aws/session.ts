import { awsPartitionOf } from "../../../core/aws-partitions.js";
import type { EcrHost } from "../../../core/cloud-hosts.js";
import { Problem } from "../../../core/problem.js";
import type { AwsEntry } from "../../../factory-config/entry.js";
import { type MintedScope, scopeNotEnforceable } from "../docker/token-claims.js";
import { type MintRequest, secretOf } from "../provider.js";
import { nameOfCredential } from "../upstream-reply.js";
import type { AwsIdentity } from "./credentials-file.js";
import {
  type AwsSession,
  assumeRoles,
  assumeRoleWithWebIdentity,
  type FederatedRole,
  getCallerIdentity,
  getFederationToken,
  PolicyTooLargeError,
  readAwsIdentity,
  type Sts,
} from "./sts.js";

/** Whose session it is: the keys of a secret and the roles to assume with them, or a role that trusts the factory. */
export type AwsPrincipal = ({ kind: "keys" } & AwsIdentity) | ({ kind: "federated" } & FederatedRole);

type PrivateEcrHost = EcrHost & { public: false };

/** @throws Problem `secret-malformed` */
export function readPrincipal(request: MintRequest<AwsEntry>): AwsPrincipal {
  const { roleArn } = request.entry;
  if (roleArn !== undefined) return { kind: "federated", roleArn, assert: request.assert };
  return { kind: "keys", ...readAwsIdentity({ entry: request.entry, secret: secretOf(request) }) };
}

/** Opens the session that asks ECR: limited to the repositories when the caller demands that, else as far as it goes. */
export async function openSession(
  request: MintRequest<AwsEntry>,
  principal: AwsPrincipal,
  sts: Sts,
  registry: PrivateEcrHost | undefined,
): Promise<{ session: AwsSession; scope: MintedScope }> {
  const { repositories } = request;
  if (repositories === undefined)
    return { session: await openSessionOf(sts, principal), scope: { scopeEnforcedBy: "none" } };
  try {
    const location = registry ?? (await ownLocation(request.entry.region, principal, sts));
    const session = await openLimitedSession(request, principal, sts, location, repositories);
    return { session, scope: { scopeEnforcedBy: "iam-session-policy", repositories } };
  } catch (error) {
    const isUnenforceable = error instanceof Problem && error.code === "scope-not-enforceable";
    if (!isUnenforceable || !request.allowBroader) throw error;
    return { session: await openSessionOf(sts, principal), scope: { scopeEnforcedBy: "none" } };
  }
}

/** Opens a session that an IAM session policy limits to pulling from these repositories. @throws Problem `scope-not-enforceable` */
export async function openLimitedSession(
  request: MintRequest<AwsEntry>,
  principal: AwsPrincipal,
  sts: Sts,
  location: EcrLocation,
  repositories: readonly string[],
): Promise<AwsSession> {
  const fit = repositoriesThatFit(location, repositories);
  if (fit < repositories.length) throw tooManyRepositories(repositories.length, fit);
  const policy = pullPolicy(location, repositories);
  const keys = principal.kind === "keys" && principal.roles.length === 0 ? principal.keys : undefined;
  if (keys?.sessionToken !== undefined) {
    // The API refuses GetFederationToken for temporary keys whatever their policy says.
    throw scopeNotEnforceable(
      `The ${nameOfCredential(request)} holds temporary keys, which AWS does not let limit a token to repositories. Store keys of an IAM user with sts:GetFederationToken, or give the profile a role_arn.`,
    );
  }
  try {
    return keys ? await getFederationToken(sts, keys, policy) : await openSessionOf(sts, principal, policy);
  } catch (error) {
    if (!(error instanceof PolicyTooLargeError)) throw error;
    // What STS counts is a packed form that it does not document; the share it names leads to a number that will fit.
    const estimate = Math.floor((repositories.length * 100) / (error.percent ?? 200));
    throw tooManyRepositories(repositories.length, Math.min(estimate, repositories.length - 1));
  }
}

/**
 * Opens the session of a principal: assumes its roles one after the other, and the policy limits the last. Keys without
 * a role are the session themselves, and have no policy.
 */
export async function openSessionOf(sts: Sts, principal: AwsPrincipal, policy?: string): Promise<AwsSession> {
  if (principal.kind === "federated") return assumeRoleWithWebIdentity(sts, principal, policy);
  return assumeRoles(sts, principal, policy);
}

/** Where the registry of the principal's own account is: that of the last role, else that of the keys. */
export async function ownLocation(region: string, principal: AwsPrincipal, sts: Sts): Promise<EcrLocation> {
  const roleArn = principal.kind === "federated" ? principal.roleArn : principal.roles.at(-1)?.roleArn;
  const keys = principal.kind === "keys" ? principal.keys : undefined;
  const account = roleArn?.split(":")[4] ?? (keys && (await getCallerIdentity(sts, keys)).account);
  if (account === undefined) throw new Error("the ARN of a role has an account");
  return { partition: awsPartitionOf(region).id, region, account };
}

function tooManyRepositories(asked: number, fit: number): Problem {
  return scopeNotEnforceable(
    `${asked} repositories are more than an IAM session policy holds; about ${fit} of these fit. Ask for fewer at once.`,
  );
}

/** Where the repositories of a session policy are. */
export type EcrLocation = { partition: string; region: string; account: string };

/** STS takes a session policy of at most so many characters. */
export const maxPolicyCharacters = 2_048;

const pullActions = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:BatchGetImage",
  // A pull-through cache fetches a tag that it does not have yet; without this the pull of a new tag fails.
  "ecr:BatchImportUpstreamImage",
  "ecr:GetDownloadUrlForLayer",
] as const;

/**
 * The session policy that holds a token to pulling from `repositories`, compact because its length counts.
 * A session may do what its principal may and this policy allows.
 */
export function pullPolicy(location: EcrLocation, repositories: readonly string[]): string {
  const { partition, region, account } = location;
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource: "*" },
      {
        Effect: "Allow",
        Action: pullActions,
        Resource: repositories.map((name) => `arn:${partition}:ecr:${region}:${account}:repository/${name}`),
      },
    ],
  });
}

/** The session policy for ECR Public: log in, and nothing else. Its images are readable by everyone. */
export const publicLoginPolicy = JSON.stringify({
  Version: "2012-10-17",
  Statement: [
    { Effect: "Allow", Action: ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"], Resource: "*" },
  ],
});

/** How many of the repositories, from the first on, a session policy holds. */
export function repositoriesThatFit(location: EcrLocation, repositories: readonly string[]): number {
  let count = repositories.length;
  while (count > 0 && pullPolicy(location, repositories.slice(0, count)).length > maxPolicyCharacters) count -= 1;
  return count;
}
