import type { z } from "zod";
import { requestedBy } from "../../audit/requested-by.js";
import { type BrokerDeps, issueTokens } from "../../broker/issue-token.js";
import type { Products } from "../../broker/products.js";
import type { MintedToken } from "../../broker/provider.js";
import { ecrHost } from "../../core/cloud-hosts.js";
import { Problem } from "../../core/problem.js";
import type { Identify, RequestFacts, SentRequest } from "../../http/route.js";
import { validate } from "../../http/validate.js";
import { awsRequestOf, ecrTargetPrefix } from "../errors/aws-protocol.js";
import { otherOperation, otherService } from "../errors/other-service.js";
import { type AwsKeys, asKeysRefused } from "../keys/aws-keys.js";
import type { SignedRequest } from "../signature/signed-request.js";
import { type EcrTokenReply, EcrTokenRequest } from "./contract.js";

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
