import type { AuditWriter } from "../audit/record.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryIdParams, FactoryParams, IdParams, PageQuery } from "../http/contract.js";
import { isUuid, pageOf, pageStart } from "../http/page.js";
import { Problem } from "../http/problem.js";
import { json, type RequestFacts, route } from "../http/route.js";
import {
  ApiTokenList,
  CreatedApiToken,
  CreatedJob,
  CreatedOperatorToken,
  Job,
  JobList,
  NewApiToken,
  NewJob,
  NewOperatorToken,
  OperatorTokenList,
  WhoAmI,
} from "./contract.js";
import { createApiToken, createOperatorToken, openJob, type Requested } from "./create-credential.js";
import { findCredential, listCredentials } from "./store.js";
import { apiTokenView, jobView, operatorTokenView } from "./views.js";
import { withdrawCredential } from "./withdraw-credential.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter };

/** What the audit remembers of a request. */
export const requestedBy = (request: RequestFacts): Requested => ({ requestId: request.id, address: request.address });

const whoAmI = route(
  {
    id: "whoAmI",
    method: "get",
    path: "/v1/whoami",
    tag: "Access",
    summary: "Who this credential is and what it may do",
    auth: "any-caller",
    replies: { 200: { description: "The caller.", content: { "application/json": WhoAmI } } },
    problems: [],
  },
  async (_deps: object, { caller }) => ({
    status: 200,
    body: {
      kind: caller.kind,
      id: caller.id,
      name: caller.name,
      permissions: [...caller.permissions],
      ...(caller.factory && { factory: caller.factory.name }),
      ...(caller.grants && { grants: [...caller.grants] }),
      ...(caller.expiresAt && { expiresAt: caller.expiresAt.toISOString() }),
    },
  }),
);

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
  async ({ prisma }: Pick<Deps, "prisma">, { query }) => {
    const after = pageStart(query.pageToken, isUuid);
    const rows = await listCredentials(prisma, {
      kind: "operator",
      factoryId: null,
      pageSize: query.pageSize,
      after,
      now: new Date(),
    });
    return { status: 200, body: pageOf(rows, query.pageSize, (row) => row.id, operatorTokenView) };
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
    body: json(NewOperatorToken),
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
  async (deps: Deps, { caller, params, request }) => {
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
  async ({ prisma }: Pick<Deps, "prisma">, { factory, query }) => {
    const after = pageStart(query.pageToken, isUuid);
    const rows = await listCredentials(prisma, {
      kind: "api-token",
      factoryId: factory.id,
      pageSize: query.pageSize,
      after,
      now: new Date(),
    });
    return { status: 200, body: pageOf(rows, query.pageSize, (row) => row.id, apiTokenView) };
  },
);

const addApiToken = route(
  {
    id: "createApiToken",
    method: "post",
    path: "/v1/factories/{factory}/api-tokens",
    tag: "Access",
    summary: "Make an API token",
    description: "Never with more than its maker has, nor with a longer life. The token is shown once.",
    auth: { permission: "access:write" },
    params: FactoryParams,
    body: json(NewApiToken),
    replies: { 201: { description: "Made.", content: { "application/json": CreatedApiToken } } },
    problems: [],
    holdsCredential: true,
  },
  async (deps: Deps, { caller, factory, body, request }) => {
    const expiresAt = body.expiresAt === undefined ? undefined : new Date(body.expiresAt);
    const { name, permissions } = body;
    const made = await createApiToken(deps, {
      name,
      permissions,
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
        permissions: [...new Set(permissions)],
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
    description: "Jobs that it opened end with it.",
    auth: { permission: "access:write" },
    params: FactoryIdParams,
    replies: { 204: { description: "Withdrawn." } },
    problems: ["not-found"],
  },
  async (deps: Deps, { caller, factory, params, request }) => {
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

const createJob = route(
  {
    id: "createJob",
    method: "post",
    path: "/v1/factories/{factory}/jobs",
    tag: "Jobs",
    summary: "Open a CI job",
    description: "Its token pulls what the grants say, or from every entry when there are none. It is shown once.",
    auth: { permission: "jobs:create" },
    params: FactoryParams,
    body: json(NewJob),
    replies: { 201: { description: "Opened.", content: { "application/json": CreatedJob } } },
    problems: [],
    holdsCredential: true,
  },
  async (deps: Deps, { caller, factory, body, request }) => {
    const { name, ttlSeconds, grants } = body;
    const made = await openJob(deps, {
      name,
      ttlSeconds,
      grants,
      maker: caller,
      factory,
      requested: requestedBy(request),
    });
    return {
      status: 201,
      body: {
        id: made.id,
        name,
        state: "running" as const,
        createdAt: made.createdAt.toISOString(),
        createdBy: caller.name,
        expiresAt: made.expiresAt.toISOString(),
        token: made.token,
        ...(grants && { grants }),
      },
    };
  },
);

const listJobs = route(
  {
    id: "listJobs",
    method: "get",
    path: "/v1/factories/{factory}/jobs",
    tag: "Jobs",
    summary: "List the jobs that run",
    auth: { permission: "jobs:create" },
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": JobList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { factory, query }) => {
    const now = new Date();
    const after = pageStart(query.pageToken, isUuid);
    const rows = await listCredentials(prisma, {
      kind: "job",
      factoryId: factory.id,
      pageSize: query.pageSize,
      after,
      now,
    });
    return {
      status: 200,
      body: pageOf(
        rows,
        query.pageSize,
        (row) => row.id,
        (row) => jobView(row, now),
      ),
    };
  },
);

const getJob = route(
  {
    id: "getJob",
    method: "get",
    path: "/v1/factories/{factory}/jobs/{id}",
    tag: "Jobs",
    summary: "One job",
    auth: { permission: "jobs:create" },
    params: FactoryIdParams,
    replies: { 200: { description: "The job.", content: { "application/json": Job } } },
    problems: ["not-found"],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { factory, params }) => {
    const row = await findCredential(prisma, params.id, "job", factory.id);
    if (!row) throw new Problem("not-found", "There is no such job.");
    return { status: 200, body: jobView(row, new Date()) };
  },
);

const endJob = route(
  {
    id: "endJob",
    method: "delete",
    path: "/v1/factories/{factory}/jobs/{id}",
    tag: "Jobs",
    summary: "End a job",
    description: "Its token stops working at once. Registry tokens already handed out live until they expire.",
    auth: { permission: "jobs:create" },
    params: FactoryIdParams,
    replies: { 204: { description: "Ended." } },
    problems: ["not-found"],
  },
  async (deps: Deps, { caller, factory, params, request }) => {
    await withdrawCredential(deps, { id: params.id, kind: "job", factory, caller, requested: requestedBy(request) });
    return { status: 204 };
  },
);

export const identityRoutes = [
  whoAmI,
  listOperatorTokens,
  addOperatorToken,
  deleteOperatorToken,
  listApiTokens,
  addApiToken,
  deleteApiToken,
  createJob,
  listJobs,
  getJob,
  endJob,
];
