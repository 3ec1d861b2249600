import type { z } from "zod";
import type { AuditWriter, RequestedBy } from "../../audit/record.js";
import { isPermission, type Permission } from "../../core/permissions.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { workloadPermissions } from "../trust-rules/judge-workload.js";
import { openSession, type SessionRequests } from "../trust-rules/open-session.js";
import type { Workloads } from "../trust-rules/workloads.js";
import type { AccessTokens, Subject } from "./access-tokens.js";
import { authenticateClient, type PresentedClient } from "./authenticate-client.js";
import type { ProvenClient } from "./clients/store.js";
import { type ClientSession, openClientSession, refreshClientSession } from "./sessions.js";
import { reportedShortSeconds } from "./signed-tokens.js";
import type { TokenReply, TokenRequest } from "./token-routes.js";

export type TokenDeps = {
  prisma: PrismaClient;
  audit: AuditWriter;
  withdrawals: Withdrawals;
  workloads: Workloads;
  accessTokens: AccessTokens;
  sessionRequests: SessionRequests;
};

type Input = {
  form: z.output<typeof TokenRequest>;
  client: PresentedClient | undefined;
  requested: RequestedBy;
};

type Reply = z.input<typeof TokenReply>;

const tokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessToken = "urn:ietf:params:oauth:token-type:access_token";
const idTokenTypes = ["urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"];

/** How a client can ask, as the metadata of the service lists it. */
export const grantTypes = ["client_credentials", "refresh_token", tokenExchange] as const;

/**
 * Answers the token endpoint.
 * @throws Problem with a code that stands for an error of RFC 6749, section 5.2
 */
export async function answerTokenRequest(deps: TokenDeps, input: Input): Promise<Reply> {
  const grantType = grantTypes.find((known) => known === input.form.grant_type);
  switch (grantType) {
    case "client_credentials":
      return forClient(deps, input);
    case "refresh_token":
      return forRefreshToken(deps, input);
    case tokenExchange:
      return forIdToken(deps, input);
    case undefined:
      if (input.form.grant_type === undefined) throw missing("grant_type");
      throw new Problem("unsupported-grant-type", `The grant types that are taken here: ${grantTypes.join(", ")}.`);
    default:
      return grantType satisfies never;
  }
}

async function forClient(deps: TokenDeps, input: Input): Promise<Reply> {
  const client = await provenClient(deps, input);
  const permissions = narrowedScope(input.form.scope, client.permissions);
  return clientReply(deps, client, await openClientSession(deps, { client, permissions, requested: input.requested }));
}

async function forRefreshToken(deps: TokenDeps, input: Input): Promise<Reply> {
  const { form, requested } = input;
  const client = await provenClient(deps, input);
  if (form.refresh_token === undefined) throw missing("refresh_token");
  if (form.scope !== undefined) {
    throw new Problem("invalid-scope", "A refresh keeps its scope. For another, ask with client_credentials.");
  }
  // A refresh token that was used for nothing is a stolen one a minute later, and ends its session.
  await deps.accessTokens.ready();
  return clientReply(
    deps,
    client,
    await refreshClientSession(deps, { client, refreshToken: form.refresh_token, requested }),
  );
}

async function provenClient(deps: TokenDeps, { client: presented }: Input): Promise<ProvenClient> {
  const client = await authenticateClient(deps.prisma, presented);
  deps.sessionRequests.count({ kind: "oauth-client", id: client.id, name: client.name });
  return client;
}

async function clientReply(deps: TokenDeps, client: ProvenClient, session: ClientSession): Promise<Reply> {
  const { credentialId, permissions, expiresAt, refreshToken } = session;
  const { factory, id: clientId } = client;
  const reply = await issue(deps, { credentialId, clientId, factory, permissions, expiresAt });
  return { ...reply, refresh_token: refreshToken };
}

/** RFC 8693. There is no client: whoever has the ID token is the workload. */
async function forIdToken(deps: TokenDeps, { form, requested }: Input): Promise<Reply> {
  const { subject_token: token, subject_token_type: type, factory } = form;
  if (token === undefined) throw missing("subject_token");
  if (factory === undefined) throw missing("factory");
  if (type === undefined || !idTokenTypes.includes(type)) {
    throw new Problem("invalid-request", `subject_token_type must be ${idTokenTypes.join(" or ")}.`);
  }
  if (form.requested_token_type !== undefined && form.requested_token_type !== accessToken) {
    throw new Problem("invalid-request", `requested_token_type can only be ${accessToken}.`);
  }
  if (form.actor_token !== undefined) throw new Problem("invalid-request", "actor_token is not supported.");
  // Before the token is looked at: one that is good for one use must not be used up by a mistake in the form.
  narrowedScope(form.scope, [...workloadPermissions]);
  const session = await openSession(deps, { token, factory, requested });
  const { credentialId, expiresAt } = session;
  const reply = await issue(deps, {
    credentialId,
    clientId: credentialId,
    factory: session.factory,
    permissions: [...session.permissions],
    expiresAt,
  });
  return { ...reply, issued_token_type: accessToken };
}

async function issue(
  deps: TokenDeps,
  subject: Omit<Subject, "scope"> & { permissions: readonly Permission[] },
): Promise<Reply> {
  const { permissions, ...rest } = subject;
  const scope = permissions.join(" ");
  const { token, seconds } = await deps.accessTokens.issue({ ...rest, scope });
  return {
    token_type: "Bearer",
    access_token: token,
    expires_in: Math.max(0, seconds - reportedShortSeconds),
    scope,
    orgs: [{ name: subject.factory.name }],
  };
}

const missing = (field: string): Problem => new Problem("invalid-request", `The form lacks the field ${field}.`);

/**
 * What a session may do: what is asked for in `scope` (RFC 6749, section 3.3), or all that there is.
 * @throws Problem `invalid-scope` for anything that is not held; never given silently with less than was asked for
 */
function narrowedScope(scope: string | undefined, held: readonly Permission[]): readonly Permission[] {
  if (scope === undefined) return held;
  const asked = new Set(scope.split(" "));
  const given = held.filter((permission) => asked.has(permission));
  if (given.length === asked.size && given.length > 0) return given;
  throw new Problem(
    "invalid-scope",
    `scope may name permissions that the client has, with one blank between.${whatIsWrong([...asked], held)}`,
  );
}

// Only what has the shape of a permission is quoted: anything else may be a secret in the wrong field.
function whatIsWrong(asked: readonly string[], held: readonly Permission[]): string {
  const lacking = asked.filter(isPermission).filter((permission) => !held.includes(permission));
  const unknown = asked.filter((name) => !isPermission(name) && /^[a-z-]{1,40}:[a-z-]{1,40}$/.test(name));
  const parts = [
    ...(lacking.length > 0 ? [` It lacks ${lacking.join(", ")}.`] : []),
    ...(unknown.length > 0 ? [` There is no permission ${unknown.slice(0, 3).join(", ")}.`] : []),
  ];
  return parts.join("");
}
