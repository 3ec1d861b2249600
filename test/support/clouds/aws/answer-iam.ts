import type { Clock } from "../clock.js";
import type { CloudReply, CloudRequest } from "../cloud-endpoint.js";
import type { IamDirectory, Principal } from "./iam-directory.js";
import { QueryError } from "./query-error.js";
import { answerQuery, element, escapeXml, queryError } from "./query-protocol.js";

const iamService = { service: "iam", version: "2010-05-08" } as const;

/**
 * Answers AWS IAM: `SimulatePrincipalPolicy`, for those who may ask that of the principal.
 * Source: AWS Identity and Access Management API Reference.
 */
export function answerIam(deps: { iam: IamDirectory; clock: Clock }, request: CloudRequest): CloudReply {
  const resultOf = (caller: Principal, action: string, form: URLSearchParams): string => {
    if (action !== "SimulatePrincipalPolicy") throw new QueryError(400, "InvalidAction", `Unknown action ${action}`);
    return simulate(deps.iam, caller, form);
  };
  return answerQuery({ ...deps, region: "us-east-1", ...iamService, resultOf }, request);
}

/** Answered when IAM is called too often; the SDK retries it. */
export function throttledIam(): CloudReply {
  return queryError(iamService, new QueryError(400, "Throttling", "Rate exceeded"));
}

function simulate(iam: IamDirectory, caller: Principal, form: URLSearchParams): string {
  const arn = form.get("PolicySourceArn") ?? "";
  if (!iam.allows(caller, "iam:SimulatePrincipalPolicy", arn)) {
    const sentence = `User: ${caller.arn} is not authorized to perform: iam:SimulatePrincipalPolicy on resource: ${arn}`;
    throw new QueryError(403, "AccessDenied", sentence);
  }
  const policies = iam.policiesOf(arn);
  if (policies === undefined) throw new QueryError(404, "NoSuchEntity", "The principal cannot be found.");
  const actions = [...form].filter(([name]) => /^ActionNames\.member\.\d+$/.test(name)).map(([, action]) => action);
  const results = actions.map((action) => {
    const decision = iam.wouldAllow(policies, action) ? "allowed" : "implicitDeny";
    const fields = [element("EvalActionName", escapeXml(action)), element("EvalDecision", decision)];
    return element("member", [...fields, element("EvalResourceName", "*")].join(""));
  });
  return element("IsTruncated", "false") + element("EvaluationResults", results.join(""));
}
