import { type WebIdentity, WebIdentityError, type WebIdentityVerifier } from "../web-identity.js";
import { type GrantedSession, openRoleSession, type SessionDeps } from "./grant-session.js";
import { QueryError } from "./query-error.js";
import { trustsWebIdentity } from "./web-identity-trust.js";

export type WebIdentityDeps = SessionDeps & { webIdentities: WebIdentityVerifier };

/**
 * STS `AssumeRoleWithWebIdentity`: no one signs the request; the token's issuer has to be a provider of the role's
 * account, registered for the token's audience, and the role's trust policy has to let its subject in.
 * Source: AWS Security Token Service API Reference.
 */
export async function assumeRoleWithWebIdentity(deps: WebIdentityDeps, form: URLSearchParams): Promise<GrantedSession> {
  const identity = await verify(deps, form.get("WebIdentityToken") ?? "");
  const role = deps.iam.roleOf(form.get("RoleArn") ?? "");
  const provider = role && deps.iam.oidcProviderOf(role.accountId, identity.issuer);
  if (role && provider === undefined) {
    throw invalid(`No OpenIDConnect provider found in your account for ${identity.issuer}`);
  }
  if (provider && !provider.audiences.includes(identity.audience)) throw invalid("Incorrect token audience");
  const policy = role?.webIdentityTrust;
  if (!role || !provider || policy === undefined || !trustsWebIdentity(policy, provider.arn, identity)) {
    throw new QueryError(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
  }
  return openRoleSession(deps, role, form);
}

async function verify(deps: WebIdentityDeps, token: string): Promise<WebIdentity> {
  try {
    return await deps.webIdentities.verify(token);
  } catch (error) {
    if (!(error instanceof WebIdentityError)) throw error;
    if (error.reason === "times") throw new QueryError(400, "ExpiredTokenException", "Token expired");
    if (error.reason === "unreachable") {
      throw new QueryError(400, "IDPCommunicationError", "The identity provider could not be reached.");
    }
    throw invalid("Couldn't retrieve verification key from your identity provider");
  }
}

function invalid(message: string): QueryError {
  return new QueryError(400, "InvalidIdentityToken", message);
}
