import {
  countEcrRepositories,
  type EcrProbe,
  mayPullFromEcr,
  mayPushToEcr,
  mayPushToEcrPublic,
} from "../../providers/aws-ecr-probes.js";
import type { AwsSession } from "../../providers/aws-sts.js";
import { type Check, checkedBy, failed, passed, unknown, warned } from "../check.js";
import { nowhere } from "../registry-doctor.js";
import { type AwsExamination, nameOfRegistry } from "./aws-examination.js";

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
