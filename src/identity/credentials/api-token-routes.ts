import { type AuditWriter, requestedBy } from "../../audit/record.js";

import { databaseNow } from "../../core/database-clock.js";
import type { PrismaClient } from "../../db/database.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { FactoryIdParams, FactoryParams, PageQuery } from "../../http/contract.js";
import { newestFirst, pageOf } from "../../http/page.js";
import { json, route } from "../../http/route.js";
import { ApiTokenList, ApiTokenRequest, CreatedApiToken } from "../contract.js";
import { createApiToken } from "./create-credential.js";
import { listCredentials } from "./store.js";
import { apiTokenView } from "./views.js";
import { withdrawCredential } from "./withdraw-credential.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter };

const listApiTokens = route(
  {
    id: "listApiTokens",
    method: "get",
    path: "/v1/factories/{factory}/api-tokens",
    tag: "Access",
    summary: "List the API tokens of a factory",
    auth: { permission: "access:read" },
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": ApiTokenList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { factory, page }) => {
    const rows = await listCredentials(prisma, { kind: "api-token", factoryId: factory.id, page, now: databaseNow() });
    return { status: 200, body: await pageOf(page, rows, newestFirst, apiTokenView) };
  },
);

const addApiToken = route(
  {
    id: "createApiToken",
    method: "post",
    path: "/v1/factories/{factory}/api-tokens",
    tag: "Access",
    summary: "Make an API token",
    description:
      "Never with more than its maker has, nor with a longer life. A role is given as the permissions that it has today. The token is shown once.",
    auth: { permission: "access:write" },
    params: FactoryParams,
    body: json(ApiTokenRequest),
    replies: { 201: { description: "Made.", content: { "application/json": CreatedApiToken } } },
    problems: [],
    holdsCredential: true,
  },
  async (deps: Deps, { caller, factory, body, request }) => {
    const expiresAt = body.expiresAt === undefined ? undefined : new Date(body.expiresAt);
    const { name, permissions, roles } = body;
    const made = await createApiToken(deps, {
      name,
      asked: { permissions, roles },
      expiresAt,
      maker: caller,
      factory,
      requested: requestedBy(request),
    });
    return {
      status: 201,
      body: {
        id: made.id,
        name,
        permissions: [...made.permissions],
        ...(made.roles.length > 0 && { roles: [...made.roles] }),
        createdAt: made.createdAt.toISOString(),
        createdBy: caller.name,
        token: made.token,
        ...(made.expiresAt && { expiresAt: made.expiresAt.toISOString() }),
      },
    };
  },
);

const deleteApiToken = route(
  {
    id: "deleteApiToken",
    method: "delete",
    path: "/v1/factories/{factory}/api-tokens/{id}",
    tag: "Access",
    summary: "Withdraw an API token",
    description: "Jobs that it opened end with it. The last one with the role `admin` cannot be withdrawn.",
    auth: { permission: "access:write" },
    params: FactoryIdParams,
    replies: { 204: { description: "Withdrawn." } },
    problems: ["not-found", "last-admin"],
  },
  async (deps: Deps & { withdrawals: Withdrawals }, { caller, factory, params, request }) => {
    await withdrawCredential(deps, {
      id: params.id,
      kind: "api-token",
      factory,
      caller,
      requested: requestedBy(request),
    });
    return { status: 204 };
  },
);

export const apiTokenRoutes = [listApiTokens, addApiToken, deleteApiToken];
