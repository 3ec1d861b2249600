import type { CloudReply, CloudRequest } from "../cloud-endpoint.js";
import { assumeRole, type GrantedSession, getFederationToken, type SessionDeps } from "./grant-session.js";
import type { Principal } from "./iam-directory.js";
import { QueryError } from "./query-error.js";
import { answerQuery, element, escapeXml, queryError } from "./query-protocol.js";

export type StsDeps = SessionDeps & { region: string };

const sts = { service: "sts", version: "2011-06-15" } as const;

/**
 * Answers AWS STS, version 2011-06-15: `AssumeRole`, `GetFederationToken`, `GetCallerIdentity`.
 * Source: AWS Security Token Service API Reference.
 */
export function answerSts(deps: StsDeps, request: CloudRequest): CloudReply {
  const { iam, clock, region } = deps;
  const resultOf = (caller: Principal, action: string, form: URLSearchParams) =>
    stsResultOf(deps, caller, action, form);
  return answerQuery({ iam, clock, region, ...sts, resultOf }, request);
}

/** Answered when STS is called too often; the SDK retries it. */
export function throttledSts(): CloudReply {
  return queryError(sts, new QueryError(400, "Throttling", "Rate exceeded"));
}

function stsResultOf(deps: StsDeps, caller: Principal, action: string, form: URLSearchParams): string {
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
      throw new QueryError(400, "InvalidAction", `Could not find operation ${action} for version 2011-06-15`);
  }
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
