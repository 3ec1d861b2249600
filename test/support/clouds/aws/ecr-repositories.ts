import { z } from "zod";
import type { CloudReply } from "../cloud-endpoint.js";
import { ecrError, ecrReply } from "./ecr-reply.js";
import type { IamDirectory, Principal } from "./iam-directory.js";

export type RepositoryOperation = "BatchGetImage" | "CompleteLayerUpload" | "DescribeRepositories";

/** The repositories that exist, by ARN. */
export type EcrRepositories = Set<string>;

type Deps = {
  iam: IamDirectory;
  region: string;
  flavour: { name: "ecr" | "ecr-public" };
  repositories: EcrRepositories;
};

const account = z.string().regex(/^[0-9]{12}$/);
const repositoryName = z.string().min(2).max(256);
const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const Body = {
  BatchGetImage: z.strictObject({
    registryId: account.optional(),
    repositoryName,
    imageIds: z.array(z.strictObject({ imageDigest: digest })).min(1),
  }),
  CompleteLayerUpload: z.strictObject({
    registryId: account.optional(),
    repositoryName,
    uploadId: z.uuid(),
    layerDigests: z.array(digest).min(1),
  }),
  DescribeRepositories: z.strictObject({ registryId: account.optional(), maxResults: z.int().min(1).max(1_000) }),
};

/**
 * Answers what is asked of repositories. The permission is judged first; whether the repository exists is told only to
 * those who have it. No upload was ever begun here, so none can be completed.
 * Source: Amazon ECR API Reference.
 */
export function answerRepositoryOperation(
  deps: Deps,
  principal: Principal,
  operation: RepositoryOperation,
  text: string,
): CloudReply {
  const body = Body[operation].safeParse(JSON.parse(text));
  if (!body.success) return ecrError("InvalidParameterException", "The request has a wrong parameter.");
  const registry = body.data.registryId ?? principal.accountId;
  const { iam, region, flavour, repositories } = deps;
  const prefix = `arn:aws:${flavour.name}:${flavour.name === "ecr" ? region : ""}:${registry}:repository/`;
  const arn = `${prefix}${"repositoryName" in body.data ? body.data.repositoryName : "*"}`;
  const action = `${flavour.name}:${operation}`;
  if (!iam.allows(principal, action, arn)) {
    const sentence = `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${arn}`;
    return ecrError("AccessDeniedException", sentence);
  }
  if ("repositoryName" in body.data && !repositories.has(arn)) {
    return ecrError("RepositoryNotFoundException", "The repository does not exist in the registry.");
  }
  switch (operation) {
    case "BatchGetImage":
      return ecrReply(200, { images: [], failures: [{ failureCode: "ImageNotFound" }] });
    case "CompleteLayerUpload":
      return ecrError("UploadNotFoundException", "The upload could not be found.");
    case "DescribeRepositories": {
      const found = [...repositories].filter((one) => one.startsWith(prefix));
      return ecrReply(200, { repositories: found.map((repositoryArn) => ({ repositoryArn })) });
    }
    default:
      return operation satisfies never;
  }
}
