import { type AuditWriter, requestedBy } from "../../audit/record.js";

import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { FactoryIdParams, FactoryParams, PageQuery } from "../../http/contract.js";
import { lightPage, newestFirst, pageOf } from "../../http/page.js";
import { json, route } from "../../http/route.js";
import { CreatedJob, Job, JobList, JobRequest } from "../contract.js";
import { openJob } from "./create-credential.js";
import { findCredential, listCredentials, weighJobs } from "./store.js";
import { jobView } from "./views.js";
import { withdrawCredential } from "./withdraw-credential.js";

type Deps = { prisma: PrismaClient; audit: AuditWriter };
type OpenDeps = Deps & {
  /** Those of these registries that the factory has no entry for. */
  unservedRegistries(factory: FactoryRef, registries: readonly string[]): Promise<string[]>;
};

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
    body: json(JobRequest),
    replies: { 201: { description: "Opened.", content: { "application/json": CreatedJob } } },
    problems: [],
    holdsCredential: true,
  },
  async (deps: OpenDeps, { caller, factory, body, request }) => {
    const { name, ttlSeconds, grants, deliverSecrets = grants === undefined } = body;
    const unserved = await deps.unservedRegistries(factory, grants?.map(({ registry }) => registry) ?? []);
    const made = await openJob(deps, {
      name,
      ttlSeconds,
      grants,
      deliverSecrets,
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
        deliverSecrets,
        ...(grants && { grants }),
        warnings: unserved.map(unservedWarning),
      },
    };
  },
);

const unservedWarning = (registry: string) => ({
  code: "registry-unknown",
  message: `No entry of the factory config serves ${registry}: the job gets nothing by that grant until one does.`,
});

const listJobs = route(
  {
    id: "listJobs",
    method: "get",
    path: "/v1/factories/{factory}/jobs",
    tag: "Jobs",
    summary: "List the jobs that run",
    auth: { permission: "jobs:create" },
    isCostly: true,
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": JobList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { factory, page: asked }) => {
    const now = databaseNow();
    const page = lightPage(asked, await weighJobs(prisma, { factoryId: factory.id, page: asked, now }));
    const rows = await listCredentials(prisma, { kind: "job", factoryId: factory.id, page, now });
    return { status: 200, body: await pageOf(page, rows, newestFirst, (row) => jobView(row, now)) };
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
    return { status: 200, body: jobView(row, databaseNow()) };
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
  async (deps: Deps & { withdrawals: Withdrawals }, { caller, factory, params, request }) => {
    await withdrawCredential(deps, { id: params.id, kind: "job", factory, caller, requested: requestedBy(request) });
    return { status: 204 };
  },
);

export const jobRoutes = [createJob, listJobs, getJob, endJob];
