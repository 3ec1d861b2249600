import type { Problem, ProblemCode } from "../../core/problem.js";

/** Amazon ECR's names, and those that all services have in common. Clients try again after some of them. */
const names: Partial<Record<ProblemCode, string>> = {
  unauthenticated: "UnrecognizedClientException",
  "signature-refused": "InvalidSignatureException",
  "not-offered": "AccessDeniedException",
  forbidden: "AccessDeniedException",
  "outside-grants": "AccessDeniedException",
  "destination-not-approved": "AccessDeniedException",
  "malformed-body": "SerializationException",
  "too-many-requests": "ThrottlingException",
  "upstream-throttled": "ThrottlingException",
};

/** The name of a problem in AWS's words. */
export function awsErrorName({ code, status }: Pick<Problem, "code" | "status">): string {
  return names[code] ?? (status >= 500 ? "ServerException" : "InvalidParameterException");
}

/** What the cloud makes of the stored credential it will say again: no client should try that four times over. */
const lasting: readonly ProblemCode[] = ["upstream-refused", "upstream-invalid"];

/** AWS says 403 to who is not let in: some HTTP clients make more of a 401 than is meant. */
export function awsStatus({ code, status }: Pick<Problem, "code" | "status">): number {
  if (status === 401) return 403;
  return lasting.includes(code) ? 400 : status;
}
