import { awsPartitionOf } from "../../../core/aws-partitions.js";
import { type EcrHost, ecrPublicHost } from "../../../core/cloud-hosts.js";
import { Problem } from "../../../core/problem.js";
import type { AwsEntry } from "../../../factory-config/entry.js";
import {
  assertNothing,
  type Check,
  checkedBy,
  checkOfFailure,
  type Examination,
  failed,
  nowhere,
  passed,
  type RegistryDoctor,
  unknown,
  warned,
} from "../../doctor/check.js";
import { type CloudOutbound, onlyToHosts } from "../cloud-hosts.js";
import type { RegistryProvider } from "../provider.js";
import type { Named } from "../upstream-reply.js";
import { awsClientConfig, isAwsServiceHost } from "./clients.js";
import type { AwsIdentity, AwsKeys } from "./credentials-file.js";
import {
  countEcrRepositories,
  type EcrProbe,
  getEcrPassword,
  getEcrPublicPassword,
  mayPullFromEcr,
  mayPushToEcr,
  mayPushToEcrPublic,
} from "./ecr.js";
import { awsFailureOf, awsProblem, isAccessDenied } from "./errors.js";
import {
  type AwsSession,
  assumeRoles,
  getCallerIdentity,
  placeOfRegistry,
  readAwsIdentity,
  readEcrRegistry,
  type Sts,
} from "./sts.js";

export type AwsDoctorDeps = { outbound: CloudOutbound; now: () => Date; provider: RegistryProvider<AwsEntry> };

/**
 * Amazon ECR: STS says whose keys they are, ECR whether it gives a password. Then, side by side: can a token be limited
 * to repositories, what can be pulled, could it push, is it an administrator.
 */
export function createAwsDoctor(deps: AwsDoctorDeps): RegistryDoctor<AwsEntry> {
  const outbound = onlyToHosts(deps.outbound, "AWS", isAwsServiceHost);
  const nowMs = () => deps.now().getTime();

  return {
    examine: async (examination) => {
      const identity = readAwsIdentity(examination);
      const registry = readEcrRegistry(examination);
      const place = placeOfRegistry(examination, registry);
      // How long a role's sessions may be is found out anew: a doctor's run is rare.
      const sts: Sts = { deps: { outbound, nowMs, knownDurations: new Map() }, request: examination, place };
      const one: AwsExamination = { examination, identity, sts, registry };
      const caller = await getCallerIdentity(sts, identity.keys);
      const whose = [...(await checkSamePrincipal(one, caller)), ...checkPersonal(caller.arn)];
      const { login, session } = await logIn(one);
      if (!session) return { principal: caller.arn, checks: [login, ...whose] };
      const rest = await Promise.all([
        checkNarrowing(deps.provider, one),
        checkReach(one, session),
        checkPush(one, session),
        checkPrivileges(one, caller, session),
      ]);
      return { principal: caller.arn, checks: [login, ...whose, ...rest.flat()] };
    },
  };
}

async function logIn({ examination, identity, sts, registry }: AwsExamination): Promise<{
  login: Check;
  session?: AwsSession;
}> {
  try {
    const session = await assumeRoles(sts, identity);
    const { outbound, nowMs } = sts.deps;
    if (registry?.public === true) await getEcrPublicPassword({ outbound, nowMs }, examination, session.keys);
    else await getEcrPassword({ outbound, nowMs }, examination, { ...sts.place, keys: session.keys });
    const roles = identity.roles.length === 0 ? "" : " The role of its profile can be assumed.";
    return { login: passed("login", `It logs in: STS knows the keys, and ECR gives a password.${roles}`), session };
  } catch (error) {
    return { login: checkOfFailure("login", error) };
  }
}

async function checkNarrowing(
  provider: RegistryProvider<AwsEntry>,
  { examination, registry }: AwsExamination,
): Promise<Check[]> {
  // Anyone who wants to can pull from it: there is nothing to limit.
  if (registry?.public === true) return [];
  const repositories = examination.repositories ?? [nowhere];
  const look = async (): Promise<Check> => {
    try {
      await provider.mint({ ...examination, repositories, allowBroader: false, assert: assertNothing });
      return passed("narrowing", "Its tokens can be limited to repositories, by an IAM session policy.");
    } catch (error) {
      const isUnenforceable = error instanceof Problem && error.code === "scope-not-enforceable";
      if (isUnenforceable) return warned("narrowing", error.detail);
      throw error;
    }
  };
  return [await checkedBy("narrowing", look)];
}

/** One examination's way to AWS. */
export type AwsExamination = {
  examination: Examination<AwsEntry>;
  identity: AwsIdentity;
  sts: Sts;
  registry: EcrHost | undefined;
};

/** The name of the registry in a sentence. */
export function nameOfRegistry({ examination, registry }: AwsExamination): string {
  return examination.host ?? (registry?.public === true ? ecrPublicHost : "the registry of its own account");
}

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
      return passed(
        "over-privileged",
        "It may not ask IAM what it may do. An administrator may, so it is not an administrator.",
      );
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

/** What it can pull: each repository that is named, else how many it can list. */
export async function checkReach(one: AwsExamination, session: AwsSession): Promise<Check[]> {
  if (one.registry?.public === true) return [];
  const { repositories } = one.examination;
  const probe = probeOf(one, session);
  if (repositories === undefined) return [await checkedBy("reach", () => countReach(one, probe))];
  return Promise.all(repositories.map((repository) => checkedBy("reach", () => checkPull(probe, repository))));
}

async function countReach(one: AwsExamination, probe: EcrProbe): Promise<Check> {
  const found = await countEcrRepositories(probe);
  const where = nameOfRegistry(one);
  if (found === undefined) {
    return unknown(
      "reach",
      `It may not list the repositories of ${where}, which no pull needs. Name repositories to see whether it can pull them.`,
    );
  }
  const count = found.isMore ? `more than ${found.count}` : String(found.count);
  const repositories = found.count === 1 ? "repository" : "repositories";
  return passed(
    "reach",
    `It can list ${count} ${repositories} of ${where}. Name some to see whether it can pull them.`,
  );
}

async function checkPull(probe: EcrProbe, repository: string): Promise<Check> {
  const answer = await mayPullFromEcr(probe, repository);
  switch (answer) {
    case "yes":
      return passed("reach", `It can pull ${repository}.`);
    case "no":
      return failed(
        "reach",
        `It may not pull ${repository}. Allow ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on it, in its IAM policy or in the repository's.`,
      );
    case "no-repository":
      return warned("reach", `There is no repository ${repository}. Check its name.`);
    default:
      return answer satisfies never;
  }
}

/** Whether it could push, which no job of this service needs. */
export async function checkPush(one: AwsExamination, session: AwsSession): Promise<Check> {
  const probe = probeOf(one, session);
  const may = one.registry?.public === true ? mayPushToEcrPublic : mayPushToEcr;
  const named = one.registry?.public === true ? [] : (one.examination.repositories ?? []);
  return checkedBy("push", async () => {
    if (await may(probe, nowhere)) return pushes("any repository");
    const answers = await Promise.all(
      named.map(async (repository) => ((await may(probe, repository)) ? [repository] : [])),
    );
    const pushable = answers.flat();
    if (pushable.length > 0) return pushes(pushable.join(", "));
    const unsaid = named.length === 0 ? " It could be allowed for single ones: name them to see." : "";
    return passed("push", `It may not push.${unsaid}`);
  });
}

const pushes = (where: string): Check =>
  warned(
    "push",
    `It may push to ${where}, and jobs only pull. Take the pushing actions from its IAM policy; AmazonEC2ContainerRegistryPullOnly has all that is needed.`,
  );

function probeOf({ examination, sts, registry }: AwsExamination, session: AwsSession): EcrProbe {
  const { outbound, nowMs } = sts.deps;
  return {
    deps: { outbound, nowMs },
    request: examination,
    session: { ...sts.place, keys: session.keys },
    account: registry?.public === false ? registry.account : undefined,
  };
}

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
