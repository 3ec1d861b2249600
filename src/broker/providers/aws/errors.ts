import { z } from "zod";
import { Problem } from "../../../core/problem.js";
import { GuardedCallError } from "../../../outbound/aws-http-handler.js";
import {
  CredentialExpired,
  type Named,
  upstreamInvalid,
  upstreamRefused,
  upstreamThrottled,
} from "../upstream-reply.js";

/** What AWS answered instead of a result: its error code and what a person may need. Never the body. */
export type AwsFailure = { code: string; status: number; message: string; retryAfter: string | undefined };

const throttlingCodes: ReadonlySet<string> = new Set([
  "Throttling",
  "ThrottlingException",
  "ThrottledException",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestThrottledException",
  "TooManyRequestsException",
  "LimitExceededException",
  "SlowDown",
]);

const unknownKey = "the access key does not exist, is inactive, or belongs to another partition. Store new keys.";
const wrongSecret = "the secret access key does not belong to the access key id. Store both again.";
const expired = "its session token has expired. Store fresh keys, or keys of an IAM user.";
const wrongClock = "the signature's time was not accepted. Check the clock of this service.";

const notTrusted =
  "there is no such role, or its trust policy does not name the issuer, the audience and the subject of this entry. GET /v1/factories/{factory}/federation prints the policy.";

const meanings: ReadonlyMap<string, string> = new Map([
  ["InvalidClientTokenId", unknownKey],
  ["UnrecognizedClientException", unknownKey],
  ["InvalidAccessKeyId", unknownKey],
  ["SignatureDoesNotMatch", wrongSecret],
  ["InvalidSignatureException", wrongSecret],
  ["IncompleteSignature", wrongSecret],
  ["ExpiredToken", expired],
  ["ExpiredTokenException", expired],
  ["RequestExpired", wrongClock],
  ["RequestTimeTooSkewed", wrongClock],
  // The SDK's own names, which are those on the wire with an ending.
  [
    "InvalidIdentityTokenException",
    "IAM does not know this factory's issuer, or not for this audience. Make the identity provider in the role's account, as GET /v1/factories/{factory}/federation prints it.",
  ],
  [
    "IDPCommunicationErrorException",
    "AWS could not fetch the keys of this service from its public URL. Check that it is reached from outside, with a certificate of a public authority.",
  ],
  ["IDPRejectedClaimException", "the role's trust policy does not accept what this factory says of itself."],
  [
    "RegionDisabledException",
    "STS is not activated in this region for the account. Activate it, or use another region.",
  ],
  ["OptInRequired", "the region is not enabled for the account."],
]);

// What the SDK hangs on its errors.
const metadataShape = z.object({ httpStatusCode: z.number() });
const responseShape = z.object({ statusCode: z.number(), headers: z.record(z.string(), z.string()) });

export function isAccessDenied({ code }: AwsFailure): boolean {
  return code === "AccessDenied" || code === "AccessDeniedException";
}

/**
 * Sorts what an SDK call threw: a failure that AWS answered with is given back, everything else is thrown on as a
 * `Problem` (or as the reason why the caller went away).
 */
export function awsFailureOf(error: unknown, service: string): AwsFailure {
  if (error instanceof GuardedCallError) throw error.reason;
  if (!(error instanceof Error)) throw error;
  if (error.name === "AbortError") throw error;
  const status = readStatus(error);
  // The SDK could not read the reply at all: its error holds the body, so it is left behind here.
  const isUnreadable = status === undefined || error.name === "SyntaxError" || status < 300;
  if (isUnreadable && (status === undefined || status < 500)) {
    throw upstreamInvalid(service, "its reply cannot be read");
  }
  return { code: error.name, status, message: error.message, retryAfter: readRetryAfter(error) };
}

/** The `Problem` for a failure without a meaning of its own at the place where it happened. `action` is the IAM action called. */
export function awsProblem(
  request: Named,
  service: string,
  action: string,
  failure: AwsFailure,
  nowMs: number,
): Problem {
  if (throttlingCodes.has(failure.code) || failure.status === 429) {
    return upstreamThrottled(service, failure.retryAfter, nowMs);
  }
  if (failure.status >= 500) {
    return new Problem("upstream-unreachable", `${service} failed with status ${failure.status}. Try again later.`);
  }
  const meaning = meaningOf(failure, action);
  const what = `${action}: ${failure.code} (${failure.status})`;
  const cause = meaning === expired ? new CredentialExpired(what) : new Error(what);
  return upstreamRefused(request, service, `${failure.code}, ${meaning}`, cause);
}

function meaningOf(failure: AwsFailure, action: string): string {
  const isFederated = action === "sts:AssumeRoleWithWebIdentity";
  if (isFederated && isAccessDenied(failure)) return notTrusted;
  if (isFederated && meanings.get(failure.code) === expired) return wrongClock;
  if (!isAccessDenied(failure)) return meanings.get(failure.code) ?? `${action} failed.`;
  const trust =
    action === "sts:AssumeRole" ? ", and the principal in the role's trust policy (with the same external id)" : "";
  return `it may not call ${action}. Allow that action in its IAM policy${trust}.`;
}

function readStatus(error: Error): number | undefined {
  const metadata = "$metadata" in error ? metadataShape.safeParse(error.$metadata) : undefined;
  if (metadata?.success === true) return metadata.data.httpStatusCode;
  return readResponse(error)?.statusCode;
}

function readRetryAfter(error: Error): string | undefined {
  return readResponse(error)?.headers["retry-after"];
}

function readResponse(error: Error): z.output<typeof responseShape> | undefined {
  return "$response" in error ? responseShape.safeParse(error.$response).data : undefined;
}
