import type { ErrorShape } from "../../core/error-shape.js";
import { problemDetails, problemDocument } from "../../http/send.js";

/**
 * A problem with `Code` and `Message` beside: of a container's credentials endpoint the AWS SDK for JavaScript reads
 * these two, and botocore prints the whole body. The OpenAPI document leaves them out: generated clients cannot have
 * members whose names differ only in case.
 */
export const awsCredentialsErrors: ErrorShape = (problem, requestId) => {
  const document = { Code: problem.code, Message: problem.detail, ...problemDocument(problem, requestId) };
  return { ...problemDetails(problem, requestId), body: JSON.stringify(document) };
};
