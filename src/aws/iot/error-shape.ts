import type { ErrorShape } from "../../core/error-shape.js";
import type { Problem } from "../../core/problem.js";
import { problemDocument } from "../../http/send.js";

const unableToAssume = "Unable to assume the role, or the role to assume does not exist";

/**
 * A problem as the AWS IoT credentials provider has an error: its status and `message`, with what we know beside.
 * Source: AWS IoT Core Developer Guide, "Authorizing direct calls to AWS services using AWS IoT Core credential provider".
 */
export const iotErrors: ErrorShape = (problem, requestId) => {
  const { status, message } = inItsWords(problem);
  const document = { ...problemDocument(problem, requestId), status, message };
  return { status, headers: { "Content-Type": "application/json" }, body: JSON.stringify(document) };
};

function inItsWords({ code, status, detail }: Problem): { status: number; message: string } {
  if (status === 401 || code === "outside-grants" || code === "destination-not-approved") {
    return { status: 403, message: "Access Denied" };
  }
  if (code === "forbidden") return { status: 403, message: detail };
  if (code === "registry-unknown" || code === "not-found") return { status: 404, message: "Role alias does not exist" };
  if (status === 422 || code === "upstream-refused" || code === "upstream-invalid") {
    return { status: 400, message: unableToAssume };
  }
  return { status, message: detail };
}
