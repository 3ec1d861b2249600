import { requestedBy } from "../../audit/record.js";
import { permissions } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";
import { oauthErrors } from "../../http/oauth-errors.js";
import { form, route } from "../../http/route.js";
import { answerTokenRequest, grantTypes, type TokenDeps } from "./answer-token-request.js";
import { presentedClient } from "./authenticate-client.js";
import { AuthorizationServer, OAuthError, PublicKeySet, TokenReply, TokenRequest } from "./contract.js";
import { ecJwk } from "./keys/public-jwk.js";
import type { SigningKeys } from "./keys/signing-keys.js";

/** An ID token of 16 KiB, and the fields beside it. */
const maxFormBytes = 20 * 1024;

/** Long enough to spare us requests, and no longer than a replaced key goes on verifying. */
const cacheable = { "Cache-Control": "public, max-age=300" };

type Asker = { address: string; clientId: string | undefined };

type Limited = {
  tokenEndpointFailures: { refuseTooMany(asker: Asker): Promise<void>; failed(asker: Asker): Promise<void> };
};

const requestToken = route(
  {
    id: "requestToken",
    method: "post",
    path: "/oauth/token",
    trailingSlash: "both",
    tag: "OAuth",
    summary: "Get an access token",
    description:
      "For an OAuth client (`client_credentials`, then `refresh_token`), or for an ID token that a trust rule of the factory lets in (token exchange). A client presents itself in the form or by HTTP Basic.",
    auth: "anyone",
    body: form(TokenRequest, maxFormBytes),
    replies: {
      200: { description: "The token.", content: { "application/json": TokenReply } },
      400: { description: "What is wrong with the request.", content: { "application/json": OAuthError } },
      401: { description: "No valid client, or no valid ID token.", content: { "application/json": OAuthError } },
      413: { description: "The form is too large.", content: { "application/json": OAuthError } },
      415: { description: "The body is not a form.", content: { "application/json": OAuthError } },
    },
    problems: ["conflict", "too-many-requests"],
    errors: oauthErrors,
    holdsCredential: true,
  },
  async (deps: TokenDeps & Limited, { body, request }) => {
    const client = presentedClient({ authorization: request.authorization, form: body });
    const reply = await limited(deps, { address: request.address, clientId: client?.id }, () =>
      answerTokenRequest(deps, { form: body, client, requested: requestedBy(request) }),
    );
    // RFC 6749, section 5.1.
    return { status: 200, body: reply, headers: { Pragma: "no-cache" } };
  },
);

const guesses: ReadonlySet<string> = new Set(["invalid-client", "invalid-grant", "unauthenticated"]);

// Whoever guesses is refused before anything is looked up or verified.
async function limited<T>(deps: Limited, asker: Asker, answer: () => Promise<T>): Promise<T> {
  await deps.tokenEndpointFailures.refuseTooMany(asker);
  try {
    return await answer();
  } catch (error) {
    if (error instanceof Problem && guesses.has(error.code)) await deps.tokenEndpointFailures.failed(asker);
    throw error;
  }
}

const getKeySet = route(
  {
    id: "getKeySet",
    method: "get",
    path: "/.well-known/jwks.json",
    tag: "OAuth",
    summary: "The keys that access tokens are signed with",
    auth: "anyone",
    replies: { 200: { description: "A JWK set.", content: { "application/json": PublicKeySet } } },
    problems: [],
  },
  async ({ signingKeys }: { signingKeys: SigningKeys }) => ({
    status: 200,
    body: { keys: (await signingKeys.published()).map(ecJwk) },
    headers: cacheable,
  }),
);

const getAuthorizationServer = route(
  {
    id: "getAuthorizationServer",
    method: "get",
    path: "/.well-known/oauth-authorization-server",
    tag: "OAuth",
    summary: "What an OAuth client needs to know (RFC 8414)",
    auth: "anyone",
    replies: { 200: { description: "The metadata.", content: { "application/json": AuthorizationServer } } },
    problems: [],
  },
  async ({ publicUrl }: { publicUrl: () => string }) => ({
    status: 200,
    body: {
      issuer: publicUrl(),
      token_endpoint: `${publicUrl()}/oauth/token/`,
      jwks_uri: `${publicUrl()}/.well-known/jwks.json`,
      scopes_supported: [...permissions],
      response_types_supported: [],
      grant_types_supported: [...grantTypes],
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
    },
    headers: cacheable,
  }),
);

export const tokenRoutes = [requestToken, getKeySet, getAuthorizationServer];
