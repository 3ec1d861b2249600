import type { CloudReply, CloudRequest } from "../cloud-endpoint.js";
import { assumeRoleWithWebIdentity, type WebIdentityDeps } from "./assume-with-web-identity.js";
import { assumeRole, type GrantedSession, getFederationToken } from "./grant-session.js";
import type { Principal } from "./iam-directory.js";
import { QueryError } from "./query-error.js";
import { answerQuery, element, escapeXml, queryError } from "./query-protocol.js";

export type StsDeps = WebIdentityDeps & { region: string };

const sts = { service: "sts", version: "2011-06-15" } as const;

/**
 * Answers AWS STS, version 2011-06-15: `AssumeRole`, `GetFederationToken`, `GetCallerIdentity`, and
 * `AssumeRoleWithWebIdentity`, which is not signed.
 * Source: AWS Security Token Service API Reference.
 */
export function answerSts(deps: StsDeps, request: CloudRequest): Promise<CloudReply> {
  const { iam, clock, region } = deps;
  const resultOf = (caller: Principal, action: string, form: URLSearchParams) =>
    stsResultOf(deps, caller, action, form);
  const unsigned = { AssumeRoleWithWebIdentity: (form: URLSearchParams) => webIdentityResult(deps, form) };
  return answerQuery({ iam, clock, region, ...sts, resultOf, unsigned }, request);
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
