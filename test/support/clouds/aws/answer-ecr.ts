import { randomBytes, randomUUID } from "node:crypto";
import type { Clock } from "../clock.js";
import { type CloudReply, type CloudRequest, headerOf } from "../cloud-endpoint.js";
import type { IamDirectory, Principal } from "./iam-directory.js";
import { type SignatureVerdict, verifySigV4 } from "./verify-sigv4.js";

/** What stands behind a registry password that was handed out. */
export type IssuedPassword = {
  principal: Principal;
  registryFlavour: EcrFlavour["name"];
  region: string;
  expiresAt: Date;
};

/** The private registry service of a region, or the public one. */
export type EcrFlavour = { name: "ecr" | "ecr-public"; target: string; neededActions: readonly string[] };

export type EcrDeps = {
  iam: IamDirectory;
  clock: Clock;
  region: string;
  flavour: EcrFlavour;
  passwords: Map<string, IssuedPassword>;
};

export const privateEcr: EcrFlavour = {
  name: "ecr",
  target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
  neededActions: ["ecr:GetAuthorizationToken"],
};

export const publicEcr: EcrFlavour = {
  name: "ecr-public",
  target: "SpencerFrontendService.GetAuthorizationToken",
  neededActions: ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"],
};

const passwordSeconds = 43_200;

/**
 * Answers `GetAuthorizationToken` of Amazon ECR or ECR Public (JSON 1.1). The password carries the caller's policies,
 * and the session's with them, to the registry.
 * Source: Amazon ECR API Reference; Amazon ECR Public API Reference.
 */
export function answerEcr(deps: EcrDeps, request: CloudRequest): CloudReply {
  const target = headerOf(request, "x-amz-target");
  if (request.method !== "POST" || request.path !== "/" || target !== deps.flavour.target) {
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

function ecrError(type: string, message: string): CloudReply {
  return ecrReply(400, { __type: type, message });
}

function ecrReply(status: number, body: Record<string, unknown>): CloudReply {
  return {
    status,
    headers: { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": randomUUID() },
    body: JSON.stringify(body),
  };
}
