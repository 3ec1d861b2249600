import { deflateRawSync } from "node:zlib";
import type { Clock } from "../clock.js";
import type { IamDirectory, Principal, TemporaryCredentials } from "./iam-directory.js";
import { roleArn } from "./iam-directory.js";
import { type PolicyDocument, parsePolicy, policyAllowing } from "./iam-policy.js";
import { QueryError } from "./query-error.js";

export type SessionDeps = {
  iam: IamDirectory;
  clock: Clock;
  /** Stands for the packed size that AWS does not document: the compressed policy may be this long. */
  packedPolicyLimitBytes: number;
};

export type GrantedSession = {
  name: string;
  arn: string;
  credentials: TemporaryCredentials;
  /** Percentage of the packed limit that the session policy takes up. */
  packedPolicyPercent?: number;
};

const namePattern = /^[\w+=,.@-]+$/;
const policyMaxCharacters = 2_048;
const chainedMaxSeconds = 3_600;

/** STS `AssumeRole`: the role's trust, external id and longest session hold; a session policy only takes away. */
export function assumeRole(deps: SessionDeps, caller: Principal, form: URLSearchParams): GrantedSession {
  const arn = form.get("RoleArn") ?? "";
  const name = nameOf(form, "RoleSessionName", 64);
  const role = deps.iam.roleOf(arn);
  const trusted = role?.trusts.includes(caller.trustArn) === true;
  const externalIdFits = role?.externalId === undefined || role.externalId === form.get("ExternalId");
  if (role === undefined || !trusted || !externalIdFits || !deps.iam.allows(caller, "sts:AssumeRole", arn)) {
    throw denied(caller, "sts:AssumeRole", arn);
  }
  const seconds = durationOf(form, { defaultSeconds: 3_600, maxSeconds: 43_200 });
  if (caller.kind === "assumed-role" && seconds > chainedMaxSeconds) {
    throw new QueryError(
      400,
      "ValidationError",
      "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
    );
  }
  if (seconds > role.maxSessionSeconds) {
    throw new QueryError(
      400,
      "ValidationError",
      "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    );
  }
  const policy = sessionPolicyOf(deps, form);
  const sessionArn = `arn:aws:sts::${role.accountId}:assumed-role/${role.roleName}/${name}`;
  const credentials = deps.iam.openSession({
    kind: "assumed-role",
    accountId: role.accountId,
    arn: sessionArn,
    trustArn: roleArn(role.accountId, role.roleName),
    policies: policy === undefined ? [role.policy] : [role.policy, policy.document],
    expiresAt: deps.clock.inSeconds(seconds),
  });
  return {
    name,
    arn: sessionArn,
    credentials,
    ...(policy === undefined ? {} : { packedPolicyPercent: policy.percent }),
  };
}

/** STS `GetFederationToken`: for long-term keys only; without a session policy the session may do nothing. */
export function getFederationToken(deps: SessionDeps, caller: Principal, form: URLSearchParams): GrantedSession {
  if (caller.kind !== "user")
    throw new QueryError(403, "AccessDenied", "Cannot call GetFederationToken with session credentials");
  const name = nameOf(form, "Name", 32);
  const arn = `arn:aws:sts::${caller.accountId}:federated-user/${name}`;
  if (!deps.iam.allows(caller, "sts:GetFederationToken", arn)) throw denied(caller, "sts:GetFederationToken", arn);
  const seconds = durationOf(form, { defaultSeconds: 43_200, maxSeconds: 129_600 });
  const policy = sessionPolicyOf(deps, form);
  const credentials = deps.iam.openSession({
    kind: "federated-user",
    accountId: caller.accountId,
    arn,
    trustArn: arn,
    // A session made this way may not call IAM or STS, but for GetCallerIdentity and what a registry login needs.
    policies:
      policy === undefined
        ? []
        : [...caller.policies, policy.document, policyAllowing(["ecr:*", "ecr-public:*", "sts:GetServiceBearerToken"])],
    expiresAt: deps.clock.inSeconds(seconds),
  });
  return { name, arn, credentials, ...(policy === undefined ? {} : { packedPolicyPercent: policy.percent }) };
}

function sessionPolicyOf(
  deps: SessionDeps,
  form: URLSearchParams,
): { document: PolicyDocument; percent: number } | undefined {
  const text = form.get("Policy");
  if (text === null) return undefined;
  if (text.length > policyMaxCharacters) {
    throw new QueryError(
      400,
      "ValidationError",
      "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048",
    );
  }
  const document = parsePolicy(text);
  if (document === undefined)
    throw new QueryError(400, "MalformedPolicyDocument", "The policy is not in the valid JSON format.");
  const percent = Math.ceil((deflateRawSync(text).length * 100) / deps.packedPolicyLimitBytes);
  if (percent > 100) {
    throw new QueryError(
      400,
      "PackedPolicyTooLarge",
      `Packed policy consumes ${percent}% of allotted space, please use smaller policy.`,
    );
  }
  return { document, percent };
}

function nameOf(form: URLSearchParams, field: string, maxCharacters: number): string {
  const name = form.get(field) ?? "";
  if (name.length < 2 || name.length > maxCharacters || !namePattern.test(name)) {
    throw new QueryError(
      400,
      "ValidationError",
      `1 validation error detected: Value at '${field}' failed to satisfy constraint: 2 to ${maxCharacters} of [\\w+=,.@-]`,
    );
  }
  return name;
}

function durationOf(form: URLSearchParams, limits: { defaultSeconds: number; maxSeconds: number }): number {
  const text = form.get("DurationSeconds");
  const seconds = text === null ? limits.defaultSeconds : Number(text);
  if (!Number.isInteger(seconds) || seconds < 900 || seconds > limits.maxSeconds) {
    throw new QueryError(
      400,
      "ValidationError",
      `1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: 900 to ${limits.maxSeconds}`,
    );
  }
  return seconds;
}

function denied(caller: Principal, action: string, resource: string): QueryError {
  return new QueryError(
    403,
    "AccessDenied",
    `User: ${caller.arn} is not authorized to perform: ${action} on resource: ${resource}`,
  );
}
