import { FactoryParams } from "../../http/contract.js";
import { type BytesBody, type ReplySpec, route } from "../../http/route.js";
import { AwsErrorReply, EcrTokenReply, EcrTokenRequest } from "./contract.js";
import { type EcrDeps, getAuthorizationToken } from "./get-authorization-token.js";

const amzJson = "application/x-amz-json-1.1";

const body = {
  kind: "bytes",
  mediaType: amzJson,
  maxBytes: 64 * 1024,
  documented: EcrTokenRequest,
} as const satisfies BytesBody;

const error = (description: string): ReplySpec => ({ description, content: { [amzJson]: AwsErrorReply } });

// To a client that speaks Amazon ECR's protocol; whoever else comes is told a problem.
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
