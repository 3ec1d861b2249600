import { ECRClient } from "@aws-sdk/client-ecr";
import { type Credentials, STSClient } from "@aws-sdk/client-sts";
import { policyAllowing } from "./aws/iam-policy.js";
import { agentFor } from "./clouds-agent.js";
import type { StandInClouds } from "./start-stand-in-clouds.js";

export type Keys = { accessKeyId: string; secretAccessKey: string; sessionToken?: string };

export const accountId = "123456789012";
export const region = "us-east-2";
export const user = {
  accountId,
  userName: "ci",
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "not-a-real-secret-1",
};

const pullActions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];

/** The AWS SDK's STS client, led to the stand-in. */
export function stsClient(clouds: StandInClouds, credentials: Keys, maxAttempts = 1): STSClient {
  return new STSClient({ region, credentials, maxAttempts, requestHandler: { httpsAgent: agentFor(clouds) } });
}

/** The AWS SDK's ECR client, led to the stand-in. */
export function ecrClient(clouds: StandInClouds, credentials: Keys, maxAttempts = 1): ECRClient {
  return new ECRClient({ region, credentials, maxAttempts, requestHandler: { httpsAgent: agentFor(clouds) } });
}

/** A session policy that lets log in and pull from these repositories of the account. */
export function sessionPolicy(repositories: readonly string[]): string {
  const login = policyAllowing(["ecr:GetAuthorizationToken"]);
  const arns = repositories.map((name) => `arn:aws:ecr:${region}:${accountId}:repository/${name}`);
  return JSON.stringify({ ...login, Statement: [...login.Statement, ...policyAllowing(pullActions, arns).Statement] });
}

export function keysOf(credentials: Credentials | undefined): Keys {
  return {
    accessKeyId: credentials?.AccessKeyId ?? "",
    secretAccessKey: credentials?.SecretAccessKey ?? "",
    sessionToken: credentials?.SessionToken ?? "",
  };
}
