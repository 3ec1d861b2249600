import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.js";
import { type CloudReply, type CloudRequest, headerOf } from "../cloud-endpoint.js";
import { ecrError, ecrReply } from "./ecr-reply.js";
import { answerRepositoryOperation, type EcrRepositories, type RepositoryOperation } from "./ecr-repositories.js";
import type { IamDirectory, Principal } from "./iam-directory.js";
import { type SignatureVerdict, verifySigV4 } from "./verify-sigv4.js";

/** What follows a registry password that was handed out. */
export type IssuedPassword = {
  principal: Principal;
  registryFlavour: EcrFlavour["name"];
  region: string;
  expiresAt: Date;
};

/** The private registry service of a region, or the public one. */
export type EcrFlavour = {
  name: "ecr" | "ecr-public";
  service: string;
  neededActions: readonly string[];
  /** What else than a login it answers. */
  operations: readonly RepositoryOperation[];
};

export type EcrDeps = {
  iam: IamDirectory;
  clock: Clock;
  region: string;
  flavour: EcrFlavour;
  passwords: Map<string, IssuedPassword>;
  repositories: EcrRepositories;
};

export const privateEcr: EcrFlavour = {
  name: "ecr",
  service: "AmazonEC2ContainerRegistry_V20150921",
  neededActions: ["ecr:GetAuthorizationToken"],
  operations: ["BatchGetImage", "CompleteLayerUpload", "DescribeRepositories"],
};

export const publicEcr: EcrFlavour = {
  name: "ecr-public",
  service: "SpencerFrontendService",
  neededActions: ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"],
  operations: ["CompleteLayerUpload"],
};

const passwordSeconds = 43_200;

/**
 * Answers `GetAuthorizationToken` of Amazon ECR or ECR Public (JSON 1.1), and what asks of repositories. The password carries the caller's policies,
 * and the session's with them, to the registry.
 * Source: Amazon ECR API Reference; Amazon ECR Public API Reference.
 */
export function answerEcr(deps: EcrDeps, request: CloudRequest): CloudReply {
  const [service, target] = headerOf(request, "x-amz-target")?.split(".") ?? [];
  const operation = deps.flavour.operations.find((one) => one === target);
  const isKnown = service === deps.flavour.service && (operation !== undefined || target === "GetAuthorizationToken");
  if (request.method !== "POST" || request.path !== "/" || !isKnown) {
    return ecrError("UnknownOperationException", "The operation is not known here.");
  }
  if (headerOf(request, "content-type") !== "application/x-amz-json-1.1") {
    return ecrError("SerializationException", "application/x-amz-json-1.1 is expected.");
  }
  const { iam, clock, region, flavour } = deps;
  const verdict = verifySigV4(request, {
    service: flavour.name,
    region,
    now: clock.now(),
    keyOf: (id) => iam.keyOf(id),
  });
  if (!verdict.ok) return signatureError(verdict);
  const principal = iam.keyOf(verdict.accessKeyId)?.principal;
  if (principal === undefined)
    return ecrError("UnrecognizedClientException", "The security token included in the request is invalid.");
  if (iam.hasExpired(principal))
    return ecrError("ExpiredTokenException", "The security token included in the request is expired");
  if (operation !== undefined) return answerRepositoryOperation(deps, principal, operation, request.body);
  const refused = flavour.neededActions.find((action) => !iam.allows(principal, action, "*"));
  if (refused !== undefined) {
    return ecrError(
      "AccessDeniedException",
      `User: ${principal.arn} is not authorized to perform: ${refused} on resource: *`,
    );
  }
  return ecrReply(200, issuePassword(deps, principal));
}

/** Answered when ECR is called too often; the SDK retries it. */
export function throttledEcr(): CloudReply {
  return ecrError("ThrottlingException", "Rate exceeded");
}

function issuePassword(deps: EcrDeps, principal: Principal): Record<string, unknown> {
  const password = randomBytes(48).toString("base64");
  const expiresAt = deps.clock.inSeconds(passwordSeconds);
  deps.passwords.set(password, { principal, registryFlavour: deps.flavour.name, region: deps.region, expiresAt });
  const authorizationToken = Buffer.from(`AWS:${password}`).toString("base64");
  const data = { authorizationToken, expiresAt: expiresAt.getTime() / 1_000 };
  if (deps.flavour.name === "ecr-public") return { authorizationData: data };
  const proxyEndpoint = `https://${principal.accountId}.dkr.ecr.${deps.region}.amazonaws.com`;
  return { authorizationData: [{ ...data, proxyEndpoint }] };
}

function signatureError(verdict: SignatureVerdict & { ok: false }): CloudReply {
  switch (verdict.reason) {
    case "missing":
      return ecrError("MissingAuthenticationTokenException", "Missing Authentication Token");
    case "incomplete":
      return ecrError("IncompleteSignatureException", verdict.message);
    case "unknown-key":
      return ecrError("UnrecognizedClientException", verdict.message);
    case "mismatch":
    case "too-old":
      return ecrError("InvalidSignatureException", verdict.message);
    default:
      return verdict.reason satisfies never;
  }
}
