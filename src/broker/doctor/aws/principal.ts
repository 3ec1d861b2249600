import { Problem } from "../../../core/problem.js";
import { simulateRights } from "../../providers/aws-iam.js";
import { readAwsIdentity } from "../../providers/aws-identity.js";
import { type AwsSession, getCallerIdentity } from "../../providers/aws-sts.js";
import type { AwsIdentity } from "../../secret-formats/aws-credentials.js";
import { type Check, checkedBy, passed, unknown, warned } from "../check.js";
import type { AwsExamination } from "./aws-examination.js";

type CallerIdentity = { account: string; arn: string };

/** Whether it stands for the principal that the current version stands for. */
export async function checkSamePrincipal(one: AwsExamination, caller: CallerIdentity): Promise<Check[]> {
  const { examination, identity } = one;
  const { current } = examination;
  if (current === undefined) return [];
  const look = async (): Promise<Check> => {
    const before = readAwsIdentity({ ...examination, secret: { ...examination.secret, value: current } });
    const [now, then] = [reachOf(identity, caller), reachOf(before, await getCallerIdentity(one.sts, before.keys))];
    if (now.arn === then.arn) return passed("same-principal", "It is the principal of the current version.");
    if (now.account === then.account) {
      return passed(
        "same-principal",
        `It is another principal of the same account: ${now.arn}; the current version is ${then.arn}.`,
      );
    }
    return warned(
      "same-principal",
      `It is of another account: ${now.arn}; the current version is ${then.arn}. Check that the repositories let it in.`,
    );
  };
  try {
    return [await look()];
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [unknown("same-principal", `The current version cannot be compared with: ${error.detail}`)];
  }
}

/** Where the way ends: at the last role, else with the keys themselves. */
function reachOf(identity: AwsIdentity, caller: CallerIdentity): CallerIdentity {
  const role = identity.roles.at(-1)?.roleArn;
  if (role !== undefined) return { arn: role, account: role.split(":")[4] ?? "" };
  // The last part of a session's ARN is its name, which says nothing of what it may do.
  return {
    arn: caller.arn.replace(/^(arn:[^:]+:sts::[0-9]+:assumed-role\/[^/]+)\/.*$/, "$1"),
    account: caller.account,
  };
}

/** Keys that are a person's, or the account's own. */
export function checkPersonal(arn: string): Check[] {
  if (isRoot(arn)) {
    return [
      warned(
        "personal-credential",
        "These are keys of the account's root user, which nothing can limit. Delete them, and make an IAM user that may only pull.",
      ),
    ];
  }
  if (/:assumed-role\/AWSReservedSSO_/.test(arn)) {
    return [
      warned(
        "personal-credential",
        "This is a person's session of IAM Identity Center, which ends within hours. Make an IAM user or a role for machines.",
      ),
    ];
  }
  return [];
}

const isRoot = (arn: string): boolean => arn.endsWith(":root");

// One of each kind that only an administrator holds together: rights themselves, machines, data.
const administration = ["iam:AttachUserPolicy", "ec2:RunInstances", "s3:DeleteBucket"] as const;

/** Whether it may do what has nothing to do with images. */
export async function checkPrivileges(
  { examination, identity, sts }: AwsExamination,
  caller: CallerIdentity,
  session: AwsSession,
): Promise<Check> {
  if (isRoot(caller.arn)) return warned("over-privileged", "The root user may do everything in the account.");
  const principalArn = identity.roles.at(-1)?.roleArn ?? policyHolderOf(caller.arn);
  const { outbound, nowMs } = sts.deps;
  const where = { region: sts.place.region, keys: session.keys };
  return checkedBy("over-privileged", async () => {
    const simulated = { principalArn, actions: administration };
    const answer = await simulateRights({ outbound, nowMs }, examination, where, simulated);
    if (answer === "may-not-ask") {
      return passed("over-privileged", "It may not ask IAM what it may do. An administrator may, so it is none.");
    }
    if (answer === "unknown-principal") {
      return unknown("over-privileged", "IAM does not tell what it may do. Look at its policies in the console.");
    }
    if (answer.length === 0) return passed("over-privileged", "It is no administrator.");
    return warned(
      "over-privileged",
      `It may also ${answer.join(", ")}. Take policies such as AdministratorAccess from it: jobs need to pull, and nothing else.`,
    );
  });
}

/** The user or role whose policies count. The path of a role is not in the ARN of its sessions; most have none. */
function policyHolderOf(arn: string): string {
  return arn.replace(/^arn:([^:]+):sts::([0-9]+):assumed-role\/([^/]+)\/.*$/, "arn:$1:iam::$2:role/$3");
}
