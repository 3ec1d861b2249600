import type { IncomingMessage } from "node:http";
import type { ErrorShape } from "../../core/error-shape.js";
import { type AwsRequest, awsRequestOf } from "./aws-protocol.js";
import { awsErrorName, awsStatus } from "./error-names.js";
import { otherService } from "./other-service.js";
import { renderAwsError } from "./render-error.js";

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
