import { randomUUID } from "node:crypto";
import { z } from "zod";
import { ecrHost } from "../../../core/cloud-hosts.js";
import { Problem } from "../../../core/problem.js";
import type { CloudOutbound } from "../cloud-hosts.js";
import { type Named, upstreamInvalid } from "../upstream-reply.js";
import { awsClientConfig } from "./clients.js";
import type { AwsKeys } from "./credentials-file.js";
import { type AwsFailure, awsFailureOf, awsProblem, isAccessDenied } from "./errors.js";

/** What ECR hands out: a password for the user `AWS`. `proxyHost` is the registry of the principal's own account. */
export type EcrPassword = { password: string; expiresAt: Date; proxyHost?: string };

export type EcrDeps = { outbound: CloudOutbound; nowMs: () => number };

const publicService = "Amazon ECR Public";
const privateService = "Amazon ECR";

const authorizationData = z.object({ authorizationToken: z.string(), expiresAt: z.date() });

/** `GetAuthorizationToken` of Amazon ECR in one region. */
export async function getEcrPassword(
  deps: EcrDeps,
  request: Named & { signal: AbortSignal },
  session: { region: string; isFips: boolean; keys: AwsKeys },
): Promise<EcrPassword> {
  const sdk = await import("@aws-sdk/client-ecr");
  const client = new sdk.ECRClient(awsClientConfig(deps.outbound, session));
  const output = await client
    .send(new sdk.GetAuthorizationTokenCommand({}), { abortSignal: request.signal })
    .catch((error: unknown) => {
      throw awsProblem(
        request,
        privateService,
        "ecr:GetAuthorizationToken",
        failureFrom(error, privateService),
        deps.nowMs(),
      );
    });
  const [data] = output.authorizationData ?? [];
  const proxyHost = proxyHostOf(data?.proxyEndpoint);
  return { ...passwordOf(privateService, data), ...(proxyHost === undefined ? {} : { proxyHost }) };
}

/** `GetAuthorizationToken` of Amazon ECR Public, which exists in us-east-1 only. */
export async function getEcrPublicPassword(
  deps: EcrDeps,
  request: Named & { signal: AbortSignal },
  keys: AwsKeys,
): Promise<EcrPassword> {
  const sdk = await import("@aws-sdk/client-ecr-public");
  const client = new sdk.ECRPUBLICClient(awsClientConfig(deps.outbound, { region: "us-east-1", isFips: false, keys }));
  const actions = "ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken";
  const output = await client
    .send(new sdk.GetAuthorizationTokenCommand({}), { abortSignal: request.signal })
    .catch((error: unknown) => {
      throw awsProblem(request, publicService, actions, failureFrom(error, publicService), deps.nowMs());
    });
  return passwordOf(publicService, output.authorizationData);
}

function failureFrom(error: unknown, service: string) {
  if (error instanceof Problem) throw error;
  return awsFailureOf(error, service);
}

function passwordOf(service: string, data: unknown): { password: string; expiresAt: Date } {
  const parsed = authorizationData.safeParse(data);
  const text = parsed.success ? Buffer.from(parsed.data.authorizationToken, "base64").toString("utf8") : "";
  if (!parsed.success || !text.startsWith("AWS:") || text.length === 4) {
    throw upstreamInvalid(service, "its reply holds no password for the user AWS");
  }
  return { password: text.slice(4), expiresAt: parsed.data.expiresAt };
}

// It becomes the host that a job logs in to: only a registry of AWS is believed.
function proxyHostOf(endpoint: string | undefined): string | undefined {
  if (endpoint === undefined || !URL.canParse(endpoint)) return undefined;
  const { hostname } = new URL(endpoint);
  return ecrHost(hostname)?.public === false ? hostname : undefined;
}

/** Who asks, of which registry, and for whom. */
export type EcrProbe = {
  deps: EcrDeps;
  request: Named & { signal: AbortSignal };
  session: { region: string; isFips: boolean; keys: AwsKeys };
  /** The account whose registry it is; absent: the principal's own. */
  account: string | undefined;
};

const service = "Amazon ECR";
// Nothing has this digest.
const digestOfNothing = `sha256:${"0".repeat(64)}`;

// ECR judges the permission first and looks for the repository and the upload afterwards.
const lookedFor: ReadonlySet<string> = new Set([
  "UploadNotFoundException",
  "RepositoryNotFoundException",
  "RegistryNotFoundException",
]);

/**
 * Whether the session may push to a repository, found out without a push: it asks for the end of an upload that no one
 * began. Every policy for pushing has that action (Amazon ECR User Guide, "IAM permissions for pushing an image").
 */
export async function mayPushToEcr(probe: EcrProbe, repository: string): Promise<boolean> {
  const { deps, request, session, account } = probe;
  const sdk = await import("@aws-sdk/client-ecr");
  const client = new sdk.ECRClient(awsClientConfig(deps.outbound, session));
  const command = new sdk.CompleteLayerUploadCommand({ ...noUpload(repository), ...registryOf(account) });
  const failure = await failureOf(service, () => client.send(command, { abortSignal: request.signal }));
  return isPushAllowed(probe, service, "ecr:CompleteLayerUpload", failure);
}

/** The same for the principal's registry of ECR Public. */
export async function mayPushToEcrPublic(probe: EcrProbe, repository: string): Promise<boolean> {
  const { deps, request, session } = probe;
  const sdk = await import("@aws-sdk/client-ecr-public");
  const client = new sdk.ECRPUBLICClient(awsClientConfig(deps.outbound, session));
  const command = new sdk.CompleteLayerUploadCommand(noUpload(repository));
  const failure = await failureOf(publicService, () => client.send(command, { abortSignal: request.signal }));
  return isPushAllowed(probe, publicService, "ecr-public:CompleteLayerUpload", failure);
}

/** Whether the session may pull from a repository: it asks for an image by a digest that nothing has. */
export async function mayPullFromEcr(probe: EcrProbe, repository: string): Promise<"yes" | "no" | "no-repository"> {
  const { deps, request, session, account } = probe;
  const sdk = await import("@aws-sdk/client-ecr");
  const client = new sdk.ECRClient(awsClientConfig(deps.outbound, session));
  const imageIds = [{ imageDigest: digestOfNothing }];
  const command = new sdk.BatchGetImageCommand({ repositoryName: repository, imageIds, ...registryOf(account) });
  const failure = await failureOf(service, () => client.send(command, { abortSignal: request.signal }));
  if (failure === undefined) return "yes";
  if (failure.code === "RepositoryNotFoundException") return "no-repository";
  if (isAccessDenied(failure)) return "no";
  throw awsProblem(request, service, "ecr:BatchGetImage", failure, deps.nowMs());
}

const pageSize = 100;

/** How many repositories the session can list, up to a hundred; `undefined` when it may not, which no pull needs. */
export async function countEcrRepositories(probe: EcrProbe): Promise<{ count: number; isMore: boolean } | undefined> {
  const { deps, request, session, account } = probe;
  const sdk = await import("@aws-sdk/client-ecr");
  const client = new sdk.ECRClient(awsClientConfig(deps.outbound, session));
  const command = new sdk.DescribeRepositoriesCommand({ maxResults: pageSize, ...registryOf(account) });
  try {
    const { repositories = [], nextToken } = await client.send(command, { abortSignal: request.signal });
    return { count: repositories.length, isMore: nextToken !== undefined };
  } catch (error) {
    const failure = awsFailureOf(error, service);
    if (isAccessDenied(failure)) return undefined;
    throw awsProblem(request, service, "ecr:DescribeRepositories", failure, deps.nowMs());
  }
}

const registryOf = (account: string | undefined) => (account === undefined ? {} : { registryId: account });

const noUpload = (repositoryName: string) => ({
  repositoryName,
  uploadId: randomUUID(),
  layerDigests: [digestOfNothing],
});

/** What AWS answered instead of a result; `undefined` when there was one. */
async function failureOf(of: string, send: () => Promise<unknown>): Promise<AwsFailure | undefined> {
  try {
    await send();
    return undefined;
  } catch (error) {
    if (error instanceof Problem) throw error;
    return awsFailureOf(error, of);
  }
}

function isPushAllowed(probe: EcrProbe, of: string, action: string, failure: AwsFailure | undefined): boolean {
  if (failure === undefined || lookedFor.has(failure.code)) return true;
  if (isAccessDenied(failure)) return false;
  throw awsProblem(probe.request, of, action, failure, probe.deps.nowMs());
}
