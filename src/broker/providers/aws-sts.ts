import { Problem } from "../../http/problem.js";
import type { AwsKeys, AwsRole } from "../secret-formats/aws-credentials.js";
import { awsClientConfig } from "./aws-clients.js";
import { type AwsFailure, awsFailureOf, awsProblem, isAccessDenied } from "./aws-errors.js";
import type { CloudOutbound } from "./cloud-hosts.js";
import { scopeNotEnforceable } from "./scope-demand.js";
import { type Named, upstreamInvalid } from "./upstream-reply.js";

export type AwsSession = { keys: AwsKeys; expiresAt?: Date };

/** One mint's way to STS. */
export type Sts = {
  assumeRole(keys: AwsKeys, role: AwsRole, options: { isChained: boolean; policy?: string }): Promise<AwsSession>;
  federate(keys: AwsKeys, policy: string): Promise<AwsSession>;
  callerAccount(keys: AwsKeys): Promise<string>;
};

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

/** Opens STS in a region; the SDK is loaded on first use. */
export async function openSts(
  deps: StsDeps,
  request: Named & { factoryId: string; signal: AbortSignal },
  place: { region: string; isFips: boolean },
): Promise<Sts> {
  const sdk = await import("@aws-sdk/client-sts");
  const clientFor = (keys: AwsKeys) =>
    new sdk.STSClient({ ...awsClientConfig(deps.outbound, { ...place, keys }), useGlobalEndpoint: false });
  const abortSignal = request.signal;
  const sessionName = sessionNameOf(request.factoryId);

  async function assumeRole(
    keys: AwsKeys,
    role: AwsRole,
    options: { isChained: boolean; policy?: string },
  ): Promise<AwsSession> {
    const client = clientFor(keys);
    const known = deps.knownDurations.get(role.roleArn);
    const durations = options.isChained
      ? chainedSeconds
      : roleSeconds.filter((seconds) => seconds <= (known ?? 43_200));
    const { session, seconds } = await longest(durations, "sts:AssumeRole", async (seconds) => {
      const command = new sdk.AssumeRoleCommand({
        RoleArn: role.roleArn,
        RoleSessionName: sessionName,
        DurationSeconds: seconds,
        ...(role.externalId === undefined ? {} : { ExternalId: role.externalId }),
        ...(options.policy === undefined ? {} : { Policy: options.policy }),
      });
      return sessionOf((await client.send(command, { abortSignal })).Credentials);
    });
    if (!options.isChained) deps.knownDurations.set(role.roleArn, seconds);
    return session;
  }

  async function federate(keys: AwsKeys, policy: string): Promise<AwsSession> {
    const client = clientFor(keys);
    const { session } = await longest(federationSeconds, "sts:GetFederationToken", async (seconds) => {
      const command = new sdk.GetFederationTokenCommand({
        Name: sessionName,
        DurationSeconds: seconds,
        Policy: policy,
      });
      return sessionOf((await client.send(command, { abortSignal })).Credentials);
    });
    return session;
  }

  async function callerAccount(keys: AwsKeys): Promise<string> {
    try {
      const { Account } = await clientFor(keys).send(new sdk.GetCallerIdentityCommand({}), { abortSignal });
      if (Account === undefined || !/^[0-9]{12}$/.test(Account)) throw upstreamInvalid(service, "it named no account");
      return Account;
    } catch (error) {
      throw asProblem(error, "sts:GetCallerIdentity");
    }
  }

  // Asks for the longest session first and for less as long as the length is what STS objects to.
  async function longest(
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
      if (isAboutDuration(failure) && shorter.length > 0) return longest(shorter, action, ask);
      throw stsProblem(failure, action);
    }
  }

  function asProblem(error: unknown, action: string): unknown {
    return error instanceof Problem ? error : stsProblem(awsFailureOf(error, service), action);
  }

  function stsProblem(failure: AwsFailure, action: string): Error {
    if (failure.code === "PackedPolicyTooLarge" || failure.code === "PackedPolicyTooLargeException") {
      return new PolicyTooLargeError(Number(/([0-9]{1,6})%/.exec(failure.message)?.[1]) || undefined);
    }
    if (action === "sts:GetFederationToken" && isAccessDenied(failure)) {
      return scopeNotEnforceable(
        `The IAM user of secret "${request.secret.name}" lacks the permission sts:GetFederationToken, which limits a token to repositories. Add it to the user's IAM policy, or give the profile a role_arn.`,
      );
    }
    return awsProblem(request, service, action, failure, deps.nowMs());
  }

  return { assumeRole, federate, callerAccount };
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
