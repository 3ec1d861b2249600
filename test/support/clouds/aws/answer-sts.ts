import { randomUUID } from "node:crypto";
import { type CloudReply, type CloudRequest, formOf, headerOf } from "../cloud-endpoint.js";
import { assumeRoleWithWebIdentity, type WebIdentityDeps } from "./assume-with-web-identity.js";
import { assumeRole, type GrantedSession, getFederationToken } from "./grant-session.js";
import type { Principal } from "./iam-directory.js";
import { StsError } from "./sts-error.js";
import { type SignatureVerdict, verifySigV4 } from "./verify-sigv4.js";

export type StsDeps = WebIdentityDeps & { region: string };

const namespace = "https://sts.amazonaws.com/doc/2011-06-15/";

/**
 * Answers the query protocol of AWS STS, version 2011-06-15: `AssumeRole`, `GetFederationToken`, `GetCallerIdentity`,
 * and `AssumeRoleWithWebIdentity`, which is not signed.
 * Source: AWS Security Token Service API Reference.
 */
export async function answerSts(deps: StsDeps, request: CloudRequest): Promise<CloudReply> {
  try {
    if (request.method !== "POST" || request.path !== "/") {
      throw new StsError(404, "UnknownOperationException", "POST / is expected.");
    }
    const form = formOf(request);
    const isWebIdentity = form.get("Action") === "AssumeRoleWithWebIdentity";
    if (isWebIdentity && headerOf(request, "authorization") !== undefined) {
      throw new StsError(400, "MalformedInput", "This request is made without credentials.");
    }
    const caller = isWebIdentity ? undefined : authenticate(deps, request);
    if (form.get("Version") !== "2011-06-15") {
      throw new StsError(400, "InvalidAction", "The version is not 2011-06-15.");
    }
    const action = form.get("Action") ?? "";
    const body = caller ? resultOf(deps, caller, action, form) : await webIdentityResult(deps, form);
    const result = element(`${action}Result`, body);
    return xmlReply(200, `${action}Response`, [
      result,
      element("ResponseMetadata", element("RequestId", randomUUID())),
    ]);
  } catch (error) {
    if (error instanceof StsError) return stsError(error);
    throw error;
  }
}

/** Answered when STS is called too often; the SDK retries it. */
export function throttledSts(): CloudReply {
  return stsError(new StsError(400, "Throttling", "Rate exceeded"));
}

function resultOf(deps: StsDeps, caller: Principal, action: string, form: URLSearchParams): string {
  switch (action) {
    case "GetCallerIdentity":
      return [
        element("Arn", escapeXml(caller.arn)),
        element("UserId", "AIDAEXAMPLEEXAMPLE"),
        element("Account", caller.accountId),
      ].join("");
    case "AssumeRole": {
      const session = assumeRole(deps, caller, form);
      const id = element("AssumedRoleId", `AROAEXAMPLEEXAMPLE:${escapeXml(session.name)}`);
      return element("AssumedRoleUser", element("Arn", escapeXml(session.arn)) + id) + credentialsXml(session);
    }
    case "GetFederationToken": {
      const session = getFederationToken(deps, caller, form);
      const id = element("FederatedUserId", `${caller.accountId}:${escapeXml(session.name)}`);
      return element("FederatedUser", element("Arn", escapeXml(session.arn)) + id) + credentialsXml(session);
    }
    default:
      throw new StsError(400, "InvalidAction", `Could not find operation ${action} for version 2011-06-15`);
  }
}

async function webIdentityResult(deps: StsDeps, form: URLSearchParams): Promise<string> {
  const session = await assumeRoleWithWebIdentity(deps, form);
  const id = element("AssumedRoleId", `AROAEXAMPLEEXAMPLE:${escapeXml(session.name)}`);
  return element("AssumedRoleUser", element("Arn", escapeXml(session.arn)) + id) + credentialsXml(session);
}

function credentialsXml({ credentials, packedPolicyPercent }: GrantedSession): string {
  const keys = [
    element("AccessKeyId", credentials.accessKeyId),
    element("SecretAccessKey", credentials.secretAccessKey),
    element("SessionToken", credentials.sessionToken),
    element("Expiration", credentials.expiresAt.toISOString()),
  ];
  const packed = packedPolicyPercent === undefined ? "" : element("PackedPolicySize", String(packedPolicyPercent));
  return element("Credentials", keys.join("")) + packed;
}

function authenticate(deps: StsDeps, request: CloudRequest): Principal {
  const verdict = verifySigV4(request, {
    service: "sts",
    region: deps.region,
    now: deps.clock.now(),
    keyOf: (id) => deps.iam.keyOf(id),
  });
  if (!verdict.ok) throw signatureError(verdict);
  const key = deps.iam.keyOf(verdict.accessKeyId);
  if (key === undefined)
    throw new StsError(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
  if (deps.iam.hasExpired(key.principal))
    throw new StsError(403, "ExpiredToken", "The security token included in the request is expired");
  if (headerOf(request, "content-type")?.startsWith("application/x-www-form-urlencoded") !== true) {
    throw new StsError(400, "MalformedInput", "A form is expected.");
  }
  return key.principal;
}

function signatureError(verdict: SignatureVerdict & { ok: false }): StsError {
  switch (verdict.reason) {
    case "missing":
      return new StsError(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
    case "incomplete":
      return new StsError(400, "IncompleteSignature", verdict.message);
    case "unknown-key":
      return new StsError(403, "InvalidClientTokenId", verdict.message);
    case "mismatch":
    case "too-old":
      return new StsError(403, "SignatureDoesNotMatch", verdict.message);
    default:
      return verdict.reason satisfies never;
  }
}

function stsError(error: StsError): CloudReply {
  const fields = [element("Type", "Sender"), element("Code", error.code), element("Message", escapeXml(error.message))];
  return xmlReply(error.status, "ErrorResponse", [
    element("Error", fields.join("")),
    element("RequestId", randomUUID()),
  ]);
}

function xmlReply(status: number, root: string, children: readonly string[]): CloudReply {
  return {
    status,
    headers: { "content-type": "text/xml", "x-amzn-requestid": randomUUID() },
    body: `<${root} xmlns="${namespace}">${children.join("")}</${root}>`,
  };
}

function element(name: string, content: string): string {
  return `<${name}>${content}</${name}>`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
