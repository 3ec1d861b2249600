import type { IncomingMessage } from "node:http";
import type { ErrorShape } from "../../core/error-shape.js";
import type { Problem, ProblemCode } from "../../core/problem.js";
import { type AwsRequest, awsRequestOf } from "./aws-protocol.js";
import { otherService } from "./other-service.js";
import { renderAwsError } from "./render-error.js";

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
function awsErrorName({ code, status }: Pick<Problem, "code" | "status">): string {
  return names[code] ?? (status >= 500 ? "ServerException" : "InvalidParameterException");
}

/** What the cloud makes of the stored credential it will say again: no client should try that four times over. */
const lasting: readonly ProblemCode[] = ["upstream-refused", "upstream-invalid"];

/** AWS says 403 to who is not let in: some HTTP clients make more of a 401 than is meant. */
function awsStatus({ code, status }: Pick<Problem, "code" | "status">): number {
  if (status === 401) return 403;
  return lasting.includes(code) ? 400 : status;
}

/**
 * How errors are told to a program of AWS's, so that it prints them: as the service that it means to talk to would. With an
 * `endpoint_url` for all of AWS any service's calls come here, at any path: these are told that it is not offered here.
 * @returns `undefined` for every other client
 */
export function awsErrorShapeOf({ headers }: Pick<IncomingMessage, "headers">): ErrorShape | undefined {
  const request = awsRequestOf(headers);
  return request && shapeFor(request);
}

function shapeFor({ protocol, service, isForEcr }: AwsRequest): ErrorShape {
  return (problem, requestId) => {
    const told = isForEcr ? problem : otherService(service);
    return renderAwsError(protocol, {
      name: awsErrorName(told),
      status: awsStatus(told),
      message: told.detail,
      requestId,
    });
  };
}
