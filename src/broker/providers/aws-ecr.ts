import { z } from "zod";
import { ecrHost } from "../../core/cloud-hosts.js";
import { Problem } from "../../core/problem.js";
import type { AwsKeys } from "../secret-formats/aws-credentials.js";
import { awsClientConfig } from "./aws-clients.js";
import { awsFailureOf, awsProblem } from "./aws-errors.js";
import type { CloudOutbound } from "./cloud-hosts.js";
import { type Named, upstreamInvalid } from "./upstream-reply.js";

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
        failureOf(error, privateService),
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
      throw awsProblem(request, publicService, actions, failureOf(error, publicService), deps.nowMs());
    });
  return passwordOf(publicService, output.authorizationData);
}

function failureOf(error: unknown, service: string) {
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
