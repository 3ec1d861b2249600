import { z } from "zod";
import { requestedBy } from "../audit/record.js";
import { type BrokerDeps, issueTokens } from "../broker/issue/issue-token.js";
import type { Products } from "../broker/issue/products.js";
import type { MintedToken } from "../broker/providers/provider.js";
import { ecrHost } from "../core/cloud-hosts.js";
import { Problem } from "../core/problem.js";
import { FactoryParams } from "../http/contract.js";
import {
  type BytesBody,
  type Identify,
  type ReplySpec,
  type RequestFacts,
  route,
  type SentRequest,
} from "../http/route.js";
import { validate } from "../http/validate.js";
import { awsRequestOf, ecrTargetPrefix, otherOperation, otherService } from "./aws-errors.js";
import { type AwsKeys, asKeysRefused } from "./aws-keys.js";
import type { SignedRequest } from "./signature.js";

/** Amazon ECR's own names. */
export const EcrTokenRequest = z
  .object({
    registryIds: z
      .array(z.string())
      .max(10)
      .optional()
      .meta({ description: "Deprecated by AWS. Only the account of the registry that the keys are for is taken." }),
  })
  .meta({ id: "EcrTokenRequest" });

const EcrAuthorizationData = z
  .object({
    authorizationToken: z.string().meta({ description: "base64 of AWS:password" }),
    expiresAt: z.number().meta({ description: "Seconds since 1970." }),
    proxyEndpoint: z.string(),
  })
  .meta({ id: "EcrAuthorizationData" });

export const EcrTokenReply = z
  .object({ authorizationData: z.array(EcrAuthorizationData) })
  .meta({ id: "EcrTokenReply", description: "As Amazon ECR's GetAuthorizationToken answers." });

export const AwsErrorReply = z
  .object({ __type: z.string().meta({ description: "Name of the error." }), message: z.string() })
  .meta({ id: "AwsError", description: "An error as Amazon ECR sends it, to a client that speaks its protocol." });

const amzJson = "application/x-amz-json-1.1";

const body = {
  kind: "bytes",
  mediaType: amzJson,
  maxBytes: 64 * 1024,
  documented: EcrTokenRequest,
} as const satisfies BytesBody;

const error = (description: string): ReplySpec => ({ description, content: { [amzJson]: AwsErrorReply } });

// To a client that speaks Amazon ECR's protocol; other callers get a problem.
const replies = {
  200: { description: "The token.", content: { [amzJson]: EcrTokenReply } },
  400: error("The request is not valid, or the cloud refuses the stored credential."),
  403: error("The signature or its keys are not accepted, or the job was opened for less."),
  404: error("The factory is gone."),
  409: error("The factory keeps changing. Ask again."),
  413: error("The body is too large."),
  415: error("The body is compressed."),
  422: error("The registry entry or its secret does not make a token."),
  429: error("Too many requests."),
  500: error("Something failed that should not."),
  502: error("The cloud cannot be reached."),
  503: error("The service, or the cloud, cannot answer just now."),
  504: error("The cloud did not answer in time."),
} as const;

const problems = ["too-many-requests"] as const;

const description =
  "What an unmodified `aws ecr get-login-password` and the AWS SDKs ask, signed with AWS-shaped keys of a job: set `AWS_ENDPOINT_URL_ECR` to this. Any other call is refused in the shape of the service that it was meant for.";

const ofFactory = route(
  {
    id: "ecrOfFactory",
    method: "post",
    path: "/aws/ecr/{factory}",
    trailingSlash: "both",
    tag: "AWS programs",
    summary: "Amazon ECR's GetAuthorizationToken",
    description,
    auth: "signature",
    params: FactoryParams,
    body,
    replies,
    problems,
    holdsCredential: true,
  },
  async (deps: EcrDeps, { params, body, request, identify }) => ({
    status: 200,
    body: await getAuthorizationToken(deps, { request, body, factory: params.factory, identify }),
  }),
);

const atRoot = route(
  {
    id: "ecr",
    method: "post",
    path: "/",
    tag: "AWS programs",
    summary: "The same, for clients that take no path",
    description: `${description} The keys tell the factory.`,
    auth: "signature",
    body,
    replies,
    problems,
    holdsCredential: true,
  },
  async (deps: EcrDeps, { body, request, identify }) => ({
    status: 200,
    body: await getAuthorizationToken(deps, { request, body, factory: undefined, identify }),
  }),
);

export const ecrRoutes = [ofFactory, atRoot];

export type EcrDeps = BrokerDeps & Pick<Products, "registryTokens"> & { awsKeys: AwsKeys };

export type EcrInput = {
  request: RequestFacts;
  body: Buffer;
  /** The factory in the path, when there is one; else the id of the key tells it. */
  factory: string | undefined;
  identify: Identify;
};

/**
 * Amazon ECR's GetAuthorizationToken, for the one registry entry that the keys are of.
 * @throws Problem of the broker's; `not-offered` for all else that AWS has
 */
export async function getAuthorizationToken(
  deps: EcrDeps,
  { request, body, factory: named, identify }: EcrInput,
): Promise<z.input<typeof EcrTokenReply>> {
  refuseOtherCalls(request.sent);
  const signed = signedRequest(request.sent, body);
  const { caller, factory, entry, isRepeated } = await deps.awsKeys.authenticate(signed, named);
  identify(caller, factory);
  deps.tokenRequests.count(caller);
  const accounts = accountsAsked(body);
  if (entry.host !== undefined) refuseOtherAccounts(accounts, entry.host);
  const input = {
    factory,
    caller,
    asked: [{ registry: entry.id }],
    allowBroader: false,
    allowPartial: false,
    minTtlSeconds: undefined,
    requested: requestedBy(request),
    via: "ecr-api" as const,
    isRepeated,
  };
  const { tokens } = await issueTokens(deps, deps.registryTokens, input).catch((error: unknown) => {
    throw asKeysRefused(error);
  });
  // The host of an entry that names none is known only now.
  for (const { token } of tokens) refuseOtherAccounts(accounts, token.registry);
  return { authorizationData: tokens.map(({ token }) => authorizationData(token)) };
}

function signedRequest({ method, target, rawHeaders }: SentRequest, body: Buffer): SignedRequest {
  const headers = rawHeaders.flatMap((name, at): [string, string][] =>
    at % 2 === 0 ? [[name, rawHeaders[at + 1] ?? ""]] : [],
  );
  return { method, target, headers, body };
}

function refuseOtherCalls({ headers }: SentRequest): void {
  const call = awsRequestOf(headers);
  if (!call) {
    throw new Problem(
      "unauthenticated",
      "This path is for AWS programs that sign with a job's keys. Our own API is below /v1; /openapi.json lists it.",
    );
  }
  if (!call.isForEcr) throw otherService(call.service);
  if (headers["x-amz-target"] !== `${ecrTargetPrefix}GetAuthorizationToken`) throw otherOperation();
}

/** The accounts in `registryIds`. @throws Problem when the body is not what Amazon ECR takes */
function accountsAsked(body: Buffer): readonly string[] {
  return body.length === 0 ? [] : (validate(EcrTokenRequest, parseJson(body), "").registryIds ?? []);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new Problem("malformed-body", "The body is not JSON.");
  }
}

/** AWS would give a token for each of these accounts; the keys are for the registry of one. */
function refuseOtherAccounts(accounts: readonly string[], registry: string): void {
  const host = ecrHost(registry);
  const own = host === undefined || host.public ? undefined : host.account;
  if (accounts.every((account) => account === own)) return;
  const whose = own === undefined ? `${registry}, which is of no account` : `the account ${own}`;
  throw new Problem(
    "invalid-request",
    `registryIds names another account than that of these keys: they are for ${whose}. Leave --registry-ids out, or ask for keys of the other registry.`,
  );
}

function authorizationData(token: MintedToken) {
  if (token.kind !== "password") throw new Error("Amazon ECR gives passwords");
  return {
    authorizationToken: Buffer.from(`${token.username}:${token.password}`, "utf8").toString("base64"),
    expiresAt: token.expiresAt.getTime() / 1000,
    proxyEndpoint: `https://${token.registry}`,
  };
}
