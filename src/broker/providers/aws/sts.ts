import { awsPartitionForm, awsRegionPattern } from "../../../core/aws-partitions.js";
import { type EcrHost, ecrHost } from "../../../core/cloud-hosts.js";
import { Problem } from "../../../core/problem.js";
import type { AwsEntry } from "../../../factory-config/entry.js";
import { awsAudience } from "../../../federation/sign-assertion.js";
import type { CloudOutbound } from "../cloud-hosts.js";
import { scopeNotEnforceable } from "../docker/token-claims.js";
import type { MintRequest, OpenedSecret } from "../provider.js";
import { type Named, nameOfCredential, secretMalformed, upstreamInvalid } from "../upstream-reply.js";
import { awsClientConfig } from "./clients.js";
import {
  type AwsIdentity,
  type AwsKeys,
  type AwsRole,
  parseAwsCredentials,
  resolveAwsProfile,
} from "./credentials-file.js";
import { type AwsFailure, awsFailureOf, awsProblem, isAccessDenied } from "./errors.js";

export type AwsSession = { keys: AwsKeys; expiresAt?: Date };

export type StsDeps = {
  outbound: CloudOutbound;
  nowMs: () => number;
  /** Longest session that a role was found to allow, in seconds, by ARN. */
  knownDurations: { get(roleArn: string): number | undefined; set(roleArn: string, seconds: number): void };
};

/** The session policy is within its length but not within the packed size that STS counts too. */
export class PolicyTooLargeError extends Error {
  override readonly name = "PolicyTooLargeError";
  constructor(
    /** How much of the allotted space it takes, when STS said so. */
    readonly percent: number | undefined,
  ) {
    super("The session policy is too large.");
  }
}

// A role's MaxSessionDuration cannot be asked for without another permission; these are what the console offers.
const roleSeconds = [43_200, 28_800, 14_400, 7_200, 3_600] as const;
// STS allows a role session an hour when the caller is a role session itself (role chaining).
const chainedSeconds = [3_600] as const;
// A user may have 36 hours, the root user one.
const federationSeconds = [129_600, 3_600] as const;

const service = "AWS STS";

const arnPattern = new RegExp(`^arn:${awsPartitionForm}:(?:iam|sts)::[0-9]{12}:[\\w+=,.@:/-]{1,600}$`);

/** A role that takes the word of this factory's issuer, and how to have it for an audience. */
export type FederatedRole = { roleArn: string; assert(audience: string): Promise<string> };

/** One mint's way to STS. */
export type Sts = {
  deps: StsDeps;
  request: Named & { factoryId: string; signal: AbortSignal };
  place: { region: string; isFips: boolean };
  /** For sessions that are handed out themselves: the longest that one may live. Absent: as long as STS allows. */
  maxSessionSeconds?: number;
};

// Loaded on first use: most of the start-up time of the whole service would go into the SDKs.
async function loadSts(sts: Sts, keys: AwsKeys | undefined) {
  const sdk = await import("@aws-sdk/client-sts");
  const config = awsClientConfig(sts.deps.outbound, { ...sts.place, keys });
  return { sdk, client: new sdk.STSClient({ ...config, useGlobalEndpoint: false }) };
}

/** Assumes a role for as long as it allows, an hour at most when the caller is a role session itself. */
export async function assumeRole(
  sts: Sts,
  keys: AwsKeys,
  role: AwsRole,
  options: { isChained: boolean; policy?: string },
): Promise<AwsSession> {
  const { sdk, client } = await loadSts(sts, keys);
  const known = sts.deps.knownDurations.get(role.roleArn) ?? roleSeconds[0];
  const durations = options.isChained ? chainedSeconds : roleSeconds.filter((seconds) => seconds <= known);
  const wanted = upTo(sts.maxSessionSeconds, durations);
  const { session, seconds } = await askForLongest(sts, wanted, "sts:AssumeRole", async (durationSeconds) => {
    const command = new sdk.AssumeRoleCommand({
      RoleArn: role.roleArn,
      RoleSessionName: sessionNameOf(sts.request.factoryId),
      DurationSeconds: durationSeconds,
      ...(role.externalId === undefined ? {} : { ExternalId: role.externalId }),
      ...(options.policy === undefined ? {} : { Policy: options.policy }),
    });
    return sessionOf((await client.send(command, { abortSignal: sts.request.signal })).Credentials);
  });
  if (!options.isChained && sts.maxSessionSeconds === undefined) sts.deps.knownDurations.set(role.roleArn, seconds);
  return session;
}

/** Assumes a role that takes the word of this factory's issuer, for as long as the role allows. No one signs this call. */
export async function assumeRoleWithWebIdentity(
  sts: Sts,
  { roleArn, assert }: FederatedRole,
  policy?: string,
): Promise<AwsSession> {
  const { sdk, client } = await loadSts(sts, undefined);
  const known = sts.deps.knownDurations.get(roleArn) ?? roleSeconds[0];
  const durations = roleSeconds.filter((seconds) => seconds <= known);
  const action = "sts:AssumeRoleWithWebIdentity";
  const { session, seconds } = await askForLongest(sts, durations, action, async (durationSeconds) => {
    const command = new sdk.AssumeRoleWithWebIdentityCommand({
      RoleArn: roleArn,
      RoleSessionName: sessionNameOf(sts.request.factoryId),
      WebIdentityToken: await assert(awsAudience),
      DurationSeconds: durationSeconds,
      ...(policy === undefined ? {} : { Policy: policy }),
    });
    return sessionOf((await client.send(command, { abortSignal: sts.request.signal })).Credentials);
  });
  sts.deps.knownDurations.set(roleArn, seconds);
  return session;
}

/** Opens a session of an IAM user that the policy limits. */
export async function getFederationToken(sts: Sts, keys: AwsKeys, policy: string): Promise<AwsSession> {
  const { sdk, client } = await loadSts(sts, keys);
  const durations = upTo(sts.maxSessionSeconds, federationSeconds);
  const { session } = await askForLongest(sts, durations, "sts:GetFederationToken", async (durationSeconds) => {
    const command = new sdk.GetFederationTokenCommand({
      Name: sessionNameOf(sts.request.factoryId),
      DurationSeconds: durationSeconds,
      Policy: policy,
    });
    return sessionOf((await client.send(command, { abortSignal: sts.request.signal })).Credentials);
  });
  return session;
}

/** Whose keys they are; STS tells it to everyone, without a permission. */
export async function getCallerIdentity(sts: Sts, keys: AwsKeys): Promise<{ account: string; arn: string }> {
  const { sdk, client } = await loadSts(sts, keys);
  const identity = await client
    .send(new sdk.GetCallerIdentityCommand({}), { abortSignal: sts.request.signal })
    .catch((error: unknown) => {
      throw stsProblem(sts, awsFailureOf(error, service), "sts:GetCallerIdentity");
    });
  const { Account: account, Arn: arn } = identity;
  // Both are shown to people: nothing but what has the form of one.
  if (account !== undefined && /^[0-9]{12}$/.test(account) && arn !== undefined && arnPattern.test(arn)) {
    return { account, arn };
  }
  throw upstreamInvalid(service, "it named no account");
}

function upTo(maxSeconds: number | undefined, durations: readonly number[]): readonly number[] {
  return maxSeconds === undefined ? durations : [...new Set(durations.map((seconds) => Math.min(seconds, maxSeconds)))];
}

/** Asks for the longest session first, and for less as long as its length is what STS objects to. */
async function askForLongest(
  sts: Sts,
  durations: readonly number[],
  action: string,
  ask: (seconds: number) => Promise<AwsSession>,
): Promise<{ session: AwsSession; seconds: number }> {
  const [seconds, ...shorter] = durations;
  if (seconds === undefined) throw upstreamInvalid(service, "it allows no length of session");
  try {
    return { session: await ask(seconds), seconds };
  } catch (error) {
    if (error instanceof Problem) throw error;
    const failure = awsFailureOf(error, service);
    if (isAboutDuration(failure) && shorter.length > 0) return askForLongest(sts, shorter, action, ask);
    throw stsProblem(sts, failure, action);
  }
}

function stsProblem({ deps, request }: Sts, failure: AwsFailure, action: string): Error {
  if (failure.code === "PackedPolicyTooLarge" || failure.code === "PackedPolicyTooLargeException") {
    return new PolicyTooLargeError(Number(/([0-9]{1,6})%/.exec(failure.message)?.[1]) || undefined);
  }
  if (action === "sts:GetFederationToken" && isAccessDenied(failure)) {
    return scopeNotEnforceable(
      `The IAM user of the ${nameOfCredential(request)} lacks the permission sts:GetFederationToken, which limits a token to repositories. Add it to the user's IAM policy, or give the profile a role_arn.`,
    );
  }
  return awsProblem(request, service, action, failure, deps.nowMs());
}

function isAboutDuration({ code, message }: AwsFailure): boolean {
  return code === "ValidationError" && /duration/i.test(message);
}

// 2 to 32 characters. CloudTrail shows it: the factory's id leads from there to our audit.
function sessionNameOf(factoryId: string): string {
  return `fs-${factoryId.replaceAll(/[^A-Za-z0-9]/g, "").slice(0, 29)}`;
}

type SdkCredentials = {
  AccessKeyId: string | undefined;
  SecretAccessKey: string | undefined;
  SessionToken: string | undefined;
  Expiration: Date | undefined;
};

function sessionOf(credentials: SdkCredentials | undefined): AwsSession {
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = credentials ?? {};
  if (
    !AccessKeyId ||
    !SecretAccessKey ||
    !SessionToken ||
    Expiration === undefined ||
    Number.isNaN(Expiration.getTime())
  ) {
    throw upstreamInvalid(service, "its reply holds no credentials");
  }
  return {
    keys: { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken },
    expiresAt: Expiration,
  };
}

type AwsRequest = MintRequest<AwsEntry>;

type Place = { region: string; isFips: boolean };

/** Reads the secret as a credentials file, and in it the profile that the entry names. @throws Problem `secret-malformed` */
export function readAwsIdentity(request: { entry: AwsEntry; secret: OpenedSecret }): AwsIdentity {
  const profiles = parseAwsCredentials(request.secret.value.revealText());
  if (!profiles.ok) throw secretMalformed(request, profiles.mistakes);
  const identity = resolveAwsProfile(profiles.value, request.entry.profile ?? "default");
  if (!identity.ok) throw secretMalformed(request, identity.mistakes);
  return identity.value;
}

/** The registry that is asked for, if a host says which. @throws Problem `destination-refused` when AWS has no such host */
export function readEcrRegistry(request: Pick<AwsRequest, "host">): EcrHost | undefined {
  if (request.host === undefined) return undefined;
  const registry = ecrHost(request.host);
  if (registry !== undefined) return registry;
  throw new Problem(
    "destination-refused",
    `${request.host} is not a registry of AWS, so no AWS credential is used for it.`,
  );
}

/** The region whose STS and ECR are asked. @throws Problem `destination-refused` when it is not one of AWS */
export function placeOfRegistry(request: Pick<AwsRequest, "entry">, registry: EcrHost | undefined): Place {
  if (registry?.public === true) return { region: "us-east-1", isFips: false };
  const place = { region: registry?.region ?? request.entry.region, isFips: registry?.fips ?? false };
  if (awsRegionPattern.test(place.region)) return place;
  throw new Problem("destination-refused", `The region of registry entry "${request.entry.id}" is not one of AWS.`);
}

/** Assumes the roles one after the other; the policy limits the last session. Without roles the keys are the session. */
export async function assumeRoles(sts: Sts, identity: AwsIdentity, policy?: string): Promise<AwsSession> {
  let session: AwsSession = { keys: identity.keys };
  for (const [index, role] of identity.roles.entries()) {
    const isLast = index === identity.roles.length - 1;
    session = await assumeRole(sts, session.keys, role, {
      isChained: index > 0,
      ...(isLast && policy !== undefined ? { policy } : {}),
    });
  }
  return session;
}
