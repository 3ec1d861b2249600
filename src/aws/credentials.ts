import { z } from "zod";
import type { AwsWire } from "../audit/events.js";
import { type RequestedBy, requestedBy } from "../audit/record.js";
import { AwsCredentials } from "../broker/issue/contract.js";
import { type BrokerDeps, issueTokens } from "../broker/issue/issue-token.js";
import type { Products } from "../broker/issue/products.js";
import type { CachedToken } from "../broker/issue/token-cache.js";
import type { MintedAwsCredentials } from "../broker/providers/provider.js";
import type { Caller, FactoryRef } from "../core/caller.js";
import { RegistryName } from "../core/grant.js";
import { type ErrorShape, Problem } from "../core/problem.js";
import { FactoryParams, ProblemDocument } from "../http/contract.js";
import { PreparedJson, route } from "../http/route.js";
import { problemDetails, problemDocument } from "../http/send.js";

import { byCurrentFacts, onlyAwsEntry } from "./make-keys.js";

/**
 * A problem with `Code` and `Message` beside: of a container's credentials endpoint the AWS SDK for JavaScript reads
 * these two, and botocore prints the whole body. The OpenAPI document leaves them out: generated clients cannot have
 * members whose names differ only in case.
 */
const awsCredentialsErrors: ErrorShape = (problem, requestId) => {
  const document = { Code: problem.code, Message: problem.detail, ...problemDocument(problem, requestId) };
  return { ...problemDetails(problem, requestId), body: JSON.stringify(document) };
};

const AwsCredentialsQuery = z.strictObject({
  registry: RegistryName.optional().meta({
    description: "Host or id of an entry of type aws. May be absent when there is only one.",
  }),
});

const error = (description: string) => ({ description, content: { "application/problem+json": ProblemDocument } });

const getCredentials = route(
  {
    id: "getAwsCredentials",
    method: "get",
    path: "/v1/factories/{factory}/aws-credentials",
    tag: "AWS programs",
    summary: "Temporary AWS credentials, narrowed to pulling",
    description:
      "A container's credentials endpoint: set `AWS_CONTAINER_CREDENTIALS_FULL_URI` to it, and `AWS_CONTAINER_AUTHORIZATION_TOKEN` or the file that `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` names to the job's token. `Authorization` may be the token alone. The credentials live for an hour, and AWS lets them pull what the caller may pull, whatever else the stored principal can.",
    auth: { permission: "registry-tokens:issue" },
    takesBareToken: true,
    params: FactoryParams,
    query: AwsCredentialsQuery,
    replies: {
      200: { description: "In AWS's own names.", content: { "application/json": AwsCredentials } },
      400: error("The request is not valid."),
      401: error("No valid credential."),
      403: error("Not permitted, or outside of the caller's grants."),
      404: error("No such factory, or not this credential's."),
      409: error("The factory keeps changing. Ask again."),
      422: error("The registry entry or its secret does not make credentials."),
      429: error("Too many requests."),
      500: error("Something failed that should not, or the stored bytes do not open."),
      502: error("The cloud refuses the stored credential, or cannot be reached."),
      503: error("The service, or the cloud, cannot answer just now."),
      504: error("The cloud did not answer in time."),
    },
    problems: [],
    errors: awsCredentialsErrors,
    holdsCredential: true,
  },
  async (deps: CredentialsDeps, { caller, factory, query, request }) => {
    const { registry } = query;
    const asked = { factory, caller, registry, requested: requestedBy(request), via: "container-credentials" as const };
    const { json } = await issueAwsCredentials(deps, asked);
    return { status: 200, body: new PreparedJson(json) };
  },
);

export const awsCredentialsRoutes = [getCredentials];

export type CredentialsDeps = BrokerDeps & Pick<Products, "awsCredentials">;

/** AWS's programs ask for new ones when their last fifteen minutes begin (botocore), so no fewer are handed out. */
const minTtlSeconds = 15 * 60;

/**
 * Temporary AWS credentials for one registry entry: what its secret may do, narrowed by a session policy to pulling what
 * this caller may pull.
 * @param input.registry - host or id of the entry; may be absent when only one of type aws is in reach
 * @throws Problem `scope-not-enforceable` for a stored principal that AWS does not narrow, and those of the broker
 */
export async function issueAwsCredentials(
  deps: CredentialsDeps,
  input: {
    factory: FactoryRef;
    caller: Caller;
    registry: string | undefined;
    requested: RequestedBy;
    via: AwsWire;
  },
): Promise<CachedToken<MintedAwsCredentials>> {
  const { factory, caller, registry, requested, via } = input;
  deps.tokenRequests.count(caller);
  const entry = await byCurrentFacts(deps.facts, factory, (facts) => onlyAwsEntry(facts, caller, registry));
  const asked = [{ registry: registry ?? entry.id }];
  const options = { allowBroader: false, allowPartial: false, minTtlSeconds };
  const { tokens } = await issueTokens(deps, deps.awsCredentials, {
    factory,
    caller,
    asked,
    requested,
    via,
    ...options,
  });
  const [issued] = tokens;
  if (!issued) throw new Problem("registry-unknown", "There is no registry entry of type aws to pull from.");
  return issued;
}
