import { type AuditWriter, requestedBy } from "../../../audit/record.js";

import type { PrismaClient } from "../../../db/database.js";
import { FactoryIdParams } from "../../../http/contract.js";
import { route } from "../../../http/route.js";
import { addClientSecret, removeClientSecret } from "./client-secrets.js";
import { CreatedOAuthClientSecret, OAuthClientSecretParams } from "./contract.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter };

const addSecret = route(
  {
    id: "addOAuthClientSecret",
    method: "post",
    path: "/v1/factories/{factory}/oauth-clients/{id}/secrets",
    tag: "Access",
    summary: "Give an OAuth client a second secret",
    description: "Both work until one is removed. The caller must hold all that the client may do.",
    auth: { permission: "access:write" },
    params: FactoryIdParams,
    replies: { 201: { description: "Made.", content: { "application/json": CreatedOAuthClientSecret } } },
    problems: ["not-found", "limit-reached"],
    holdsCredential: true,
  },
  async (deps: Deps, { caller, factory, params, request }) => {
    const requested = requestedBy(request);
    const made = await addClientSecret(deps, { clientId: params.id, caller, factory, requested });
    return {
      status: 201,
      body: { id: made.id, createdAt: made.createdAt.toISOString(), clientSecret: made.text },
    };
  },
);

const removeSecret = route(
  {
    id: "removeOAuthClientSecret",
    method: "delete",
    path: "/v1/factories/{factory}/oauth-clients/{id}/secrets/{secretId}",
    tag: "Access",
    summary: "Remove one of an OAuth client's two secrets",
    description: "No new session is opened with it. Those that were go on; deleting the client ends them.",
    auth: { permission: "access:write" },
    params: OAuthClientSecretParams,
    replies: { 204: { description: "Removed." } },
    problems: ["not-found", "conflict"],
  },
  async (deps: Deps, { caller, factory, params, request }) => {
    const requested = requestedBy(request);
    await removeClientSecret(deps, {
      clientId: params.id,
      secretId: params.secretId,
      caller,
      factory,
      requested,
    });
    return { status: 204 };
  },
);

export const secretRoutes = [addSecret, removeSecret];
