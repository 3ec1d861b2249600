import { z } from "zod";
import type { Problem } from "../../../core/problem.js";
import type { GarEntry } from "../../../factory-config/entry.js";
import { garAudience } from "../../../federation/sign-assertion.js";
import { ForeignToken, optionalMember, StatedSeconds } from "../../../outbound/foreign-json.js";
import type { OutboundReply } from "../../../outbound/outbound.js";
import type { CloudOutbound } from "../cloud-hosts.js";
import type { MintRequest } from "../provider.js";
import { endAfter, lifeOf } from "../token-life.js";
import { parseJsonBody, postForm, readJson, throwUnlessAnswered, upstreamRefused } from "../upstream-reply.js";
import { type GoogleAccessToken, googleTokenSeconds } from "./token.js";

export type GoogleFederationDeps = { outbound: CloudOutbound; nowMs: () => number };

/** The narrower of the two scopes by which one may act as a service account. Its token stays here. */
const actAsScope = "https://www.googleapis.com/auth/iam";

const stsHost = "sts.googleapis.com";
const iamHost = "iamcredentials.googleapis.com";

/** Where a federated login is exchanged. */
export const federationHosts: readonly string[] = [stsHost, iamHost];

const accountSeconds = 3_600;

const exchanged = z.object({ access_token: ForeignToken, expires_in: StatedSeconds });
const generated = z.object({
  accessToken: ForeignToken,
  expireTime: optionalMember(z.iso.datetime({ offset: true })),
});

/**
 * Gives this service's own word for an access token: of the service account that the entry names, or of the federated
 * principal itself when it names none.
 * Source: Google Cloud, Security Token Service API, "Method: token"; Service Account Credentials API,
 * "Method: projects.serviceAccounts.generateAccessToken".
 */
export async function exchangeAssertion(
  deps: GoogleFederationDeps,
  request: MintRequest<GarEntry>,
  { provider, scope }: { provider: string; scope: string },
): Promise<GoogleAccessToken> {
  const { serviceAccount } = request.entry;
  if (serviceAccount === undefined) return exchange(deps, request, provider, scope);
  const { accessToken } = await exchange(deps, request, provider, actAsScope);
  return actAs(deps, request, { serviceAccount, scope, accessToken });
}

async function exchange(
  deps: GoogleFederationDeps,
  request: MintRequest<GarEntry>,
  provider: string,
  scope: string,
): Promise<GoogleAccessToken> {
  const reply = await postForm(deps.outbound, request, `https://${stsHost}/v1/token`, {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    audience: `//iam.googleapis.com/${provider}`,
    scope,
    subject_token: await request.assert(garAudience(provider)),
  });
  throwUnlessAnswered(stsHost, reply, deps.nowMs());
  if (reply.status !== 200) throw refusedBySts(request, reply);
  const { access_token, expires_in } = readJson(stsHost, reply, exchanged);
  const nowMs = deps.nowMs();
  return {
    accessToken: access_token,
    life: lifeOf(stsHost, nowMs, [endAfter(nowMs, expires_in)], googleTokenSeconds),
  };
}

async function actAs(
  deps: GoogleFederationDeps,
  request: MintRequest<GarEntry>,
  { serviceAccount, scope, accessToken }: { serviceAccount: string; scope: string; accessToken: string },
): Promise<GoogleAccessToken> {
  const reply = await deps.outbound.request({
    url: `https://${iamHost}/v1/projects/-/serviceAccounts/${encodeURIComponent(serviceAccount)}:generateAccessToken`,
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${accessToken}` },
    body: JSON.stringify({ scope: [scope], lifetime: `${accountSeconds}s` }),
    signal: request.signal,
  });
  throwUnlessAnswered(iamHost, reply, deps.nowMs());
  if (reply.status !== 200) {
    throw upstreamRefused(
      request,
      iamHost,
      `status ${reply.status}. Give its principal the role roles/iam.workloadIdentityUser on the service account, and enable the IAM Service Account Credentials API. GET /v1/factories/{factory}/federation prints the command.`,
    );
  }
  const { accessToken: ofAccount, expireTime } = readJson(iamHost, reply, generated);
  const end = expireTime === undefined ? undefined : Date.parse(expireTime);
  return { accessToken: ofAccount, life: lifeOf(iamHost, deps.nowMs(), [end], googleTokenSeconds) };
}

// RFC 6749, section 5.2. Anything longer or stranger is not repeated to a person.
const oauthError = z.object({ error: z.string().regex(/^[a-z_]{1,40}$/) });

const meanings: ReadonlyMap<string, string> = new Map([
  [
    "invalid_grant",
    "the provider trusts another issuer, subject or audience, could not fetch the keys of this service, or this service's clock is off. GET /v1/factories/{factory}/federation prints what it has to trust.",
  ],
  [
    "invalid_target",
    "there is no such workload identity provider, or it is disabled. Check the number of the project.",
  ],
  ["invalid_scope", "the provider may not ask for this scope."],
  ["unauthorized_client", "the provider's attribute condition does not let this entry in."],
]);

function refusedBySts(request: MintRequest<GarEntry>, reply: OutboundReply): Problem {
  const error = oauthError.safeParse(parseJsonBody(reply));
  const code = error.success ? error.data.error : `status ${reply.status}`;
  return upstreamRefused(request, stsHost, `${code}, ${meanings.get(code) ?? "see Google's list of OAuth errors."}`);
}
