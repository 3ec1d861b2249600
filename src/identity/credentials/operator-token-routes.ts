import { type AuditWriter, requestedBy } from "../../audit/record.js";
import { databaseNow } from "../../core/database-clock.js";
import { roleNames, roles } from "../../core/permissions.js";
import type { PrismaClient } from "../../db/database.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { IdParams, PageQuery } from "../../http/contract.js";
import { newestFirst, pageOf } from "../../http/page.js";
import { json, route } from "../../http/route.js";
import { CreatedOperatorToken, OperatorTokenList, OperatorTokenRequest, RoleList } from "../contract.js";
import { createOperatorToken } from "./create-credential.js";
import { listCredentials } from "./store.js";
import { operatorTokenView } from "./views.js";
import { withdrawCredential } from "./withdraw-credential.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter };

const listOperatorTokens = route(
  {
    id: "listOperatorTokens",
    method: "get",
    path: "/v1/operator-tokens",
    tag: "Access",
    summary: "List the operator tokens",
    auth: "operator",
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": OperatorTokenList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { page }) => {
    const rows = await listCredentials(prisma, { kind: "operator", factoryId: null, page, now: databaseNow() });
    return { status: 200, body: await pageOf(page, rows, newestFirst, operatorTokenView) };
  },
);

const addOperatorToken = route(
  {
    id: "createOperatorToken",
    method: "post",
    path: "/v1/operator-tokens",
    tag: "Access",
    summary: "Make an operator token",
    description: "It reaches the whole installation. The token is shown once.",
    auth: "operator",
    body: json(OperatorTokenRequest),
    replies: { 201: { description: "Made.", content: { "application/json": CreatedOperatorToken } } },
    problems: [],
    holdsCredential: true,
  },
  async (deps: Deps, { caller, body, request }) => {
    const made = await createOperatorToken(deps, { name: body.name, maker: caller, requested: requestedBy(request) });
    return {
      status: 201,
      body: { id: made.id, name: body.name, createdAt: made.createdAt.toISOString(), token: made.token },
    };
  },
);

const deleteOperatorToken = route(
  {
    id: "deleteOperatorToken",
    method: "delete",
    path: "/v1/operator-tokens/{id}",
    tag: "Access",
    summary: "Withdraw an operator token",
    description: "Jobs that it opened end with it. API tokens and operator tokens that it made stay.",
    auth: "operator",
    params: IdParams,
    replies: { 204: { description: "Withdrawn." } },
    problems: ["not-found", "last-operator-token"],
  },
  async (deps: Deps & { withdrawals: Withdrawals }, { caller, params, request }) => {
    await withdrawCredential(deps, {
      id: params.id,
      kind: "operator",
      factory: undefined,
      caller,
      requested: requestedBy(request),
    });
    return { status: 204 };
  },
);

export const operatorTokenRoutes = [listOperatorTokens, addOperatorToken, deleteOperatorToken];

const listRoles = route(
  {
    id: "listRoles",
    method: "get",
    path: "/v1/roles",
    tag: "Access",
    summary: "List the roles and their permissions",
    auth: "any-caller",
    replies: { 200: { description: "Every role.", content: { "application/json": RoleList } } },
    problems: [],
  },
  async () => ({
    status: 200,
    body: { items: roleNames.map((name) => ({ name, permissions: [...roles[name]] })) },
  }),
);

export const roleRoutes = [listRoles];
