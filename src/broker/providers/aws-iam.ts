import { awsPartitionOf } from "../../core/aws-partitions.js";
import type { AwsKeys } from "../secret-formats/aws-credentials.js";
import { awsClientConfig } from "./aws-clients.js";
import { awsFailureOf, awsProblem, isAccessDenied } from "./aws-errors.js";
import type { CloudOutbound } from "./cloud-hosts.js";
import type { Named } from "./upstream-reply.js";

const service = "AWS IAM";

/**
 * Which of the actions a principal is allowed on everything, as IAM itself works it out (`SimulatePrincipalPolicy`).
 * Nothing is done.
 */
export async function simulateRights(
  deps: { outbound: CloudOutbound; nowMs: () => number },
  request: Named & { signal: AbortSignal },
  session: { region: string; keys: AwsKeys },
  simulated: { principalArn: string; actions: readonly string[] },
): Promise<"may-not-ask" | "unknown-principal" | readonly string[]> {
  const sdk = await import("@aws-sdk/client-iam");
  const region = awsPartitionOf(session.region).iamRegion;
  const client = new sdk.IAMClient(awsClientConfig(deps.outbound, { region, isFips: false, keys: session.keys }));
  const { principalArn, actions } = simulated;
  const command = new sdk.SimulatePrincipalPolicyCommand({
    PolicySourceArn: principalArn,
    ActionNames: [...actions],
  });
  try {
    const { EvaluationResults = [] } = await client.send(command, { abortSignal: request.signal });
    const allowed = EvaluationResults.filter(({ EvalDecision }) => EvalDecision === "allowed");
    return actions.filter((action) => allowed.some(({ EvalActionName }) => EvalActionName === action));
  } catch (error) {
    const failure = awsFailureOf(error, service);
    if (isAccessDenied(failure)) return "may-not-ask";
    if (failure.code === "NoSuchEntity" || failure.code === "NoSuchEntityException") return "unknown-principal";
    throw awsProblem(request, service, "iam:SimulatePrincipalPolicy", failure, deps.nowMs());
  }
}
