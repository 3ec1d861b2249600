import { z } from "zod";
import { requestedBy } from "../audit/record.js";
import { Problem } from "../core/problem.js";
import { Plaintext } from "../crypto/plaintext.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams, FilterText, Flag, PageQuery } from "../http/contract.js";
import { pageOf } from "../http/page.js";
import { etag, etagOf, preconditionOf } from "../http/preconditions.js";
import { json, route } from "../http/route.js";
import {
  batchLimits,
  maxValueBytes,
  type NamedSecretWrite,
  Secret,
  SecretBatch,
  SecretList,
  SecretParams,
  SecretWrite,
  WrittenBatch,
  WrittenSecret,
} from "./contract.js";
import type { SecretItem } from "./plan-change.js";
import { findSecret, listSecrets } from "./read-secrets.js";
import { refuseDuplicates } from "./refuse-names.js";
import { allowUnusableRule } from "./refuse-unusable.js";
import { type SecretsDeps, writeSecrets } from "./write-secrets.js";

type Reader = { prisma: PrismaClient };

/** The value of a write, however it was given. */
export function plaintextOf({ value, valueBase64 }: { value?: string | undefined; valueBase64?: string | undefined }) {
  return value === undefined
    ? Plaintext.fromBytes(Buffer.from(valueBase64 ?? "", "base64"))
    : Plaintext.fromText(value);
}

type Row = NonNullable<Awaited<ReturnType<typeof findSecret>>>;

/** A secret as replies show it. */
export function secretView(row: Row): z.input<typeof Secret> {
  return {
    name: row.name,
    version: row.currentVersion,
    deliverToJobs: row.deliverToJobs,
    usedByRegistries: row.named,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    ...(row.description !== null && { description: row.description }),
    ...(row.expiresAt && { expiresAt: row.expiresAt.toISOString() }),
  };
}

function itemOf(name: string, write: z.output<typeof SecretWrite>): Extract<SecretItem, { op: "put" }> {
  const { description, expiresAt, deliverToJobs } = write;
  return { op: "put", name, value: plaintextOf(write), description, expiresAt, deliverToJobs };
}

function stagedItemOf(name: string, write: z.output<typeof SecretWrite>): SecretItem {
  const { description, ...item } = itemOf(name, write);
  if (description === undefined) return { ...item, staged: true };
  throw new Problem(
    "invalid-request",
    "description is of the secret, not of a version: a staged version has a value, expiresAt and deliverToJobs.",
  );
}

const list = route(
  {
    id: "listSecrets",
    method: "get",
    path: "/v1/factories/{factory}/secrets",
    tag: "Secrets",
    summary: "List names and metadata, never values",
    auth: { permission: "secrets:list" },
    params: FactoryParams,
    query: PageQuery.extend({
      prefix: FilterText(255).optional().meta({ description: "Only names that begin with it." }),
    }),
    replies: { 200: { description: "By name.", content: { "application/json": SecretList } } },
    problems: [],
  },
  async ({ prisma }: Reader, { factory, query, page }) => {
    const { prefix } = query;
    const rows = await listSecrets(prisma, { factoryId: factory.id, prefix, page });
    return { status: 200, body: await pageOf(page, rows, ({ name }) => [name], secretView) };
  },
);

const get = route(
  {
    id: "getSecret",
    method: "get",
    path: "/v1/factories/{factory}/secrets/{name}",
    tag: "Secrets",
    summary: "What is known of a secret, never its value",
    auth: { permission: "secrets:list" },
    params: SecretParams,
    replies: {
      200: { description: "The metadata.", content: { "application/json": Secret }, headers: etag },
    },
    problems: ["not-found"],
  },
  async ({ prisma }: Reader, { factory, params }) => {
    const row = await findSecret(prisma, factory.id, params.name);
    if (!row) throw new Problem("not-found", `There is no secret "${params.name}".`);
    return { status: 200, body: secretView(row), headers: etagOf(row.currentVersion) };
  },
);

const put = route(
  {
    id: "putSecret",
    method: "put",
    path: "/v1/factories/{factory}/secrets/{name}",
    tag: "Secrets",
    summary: "Store a new version of a secret",
    description:
      "It is the current one at once, or with `stage=true` when it is promoted. As many versions are kept as the factory's settings say. `If-Match` with the current version, or `If-None-Match: *`, makes it conditional.",
    auth: { permission: "secrets:write" },
    params: SecretParams,
    query: z.strictObject({
      stage: Flag("Make a version that is not current until it is promoted."),
      allowUnusable: Flag(allowUnusableRule),
    }),
    // A value of 64 KiB, as base64 or as JSON text in which every byte is escaped.
    body: json(SecretWrite, { maxBytes: 8 * maxValueBytes }),
    replies: {
      200: {
        description: "A further version.",
        content: { "application/json": WrittenSecret },
        headers: etag,
      },
      201: {
        description: "The first version.",
        content: { "application/json": WrittenSecret },
        headers: etag,
      },
    },
    problems: ["not-found", "precondition-failed", "limit-reached", "secret-in-use", "secret-malformed", "conflict"],
  },
  async (deps: SecretsDeps, { caller, factory, params, query, body, request }) => {
    const items = [query.stage ? stagedItemOf(params.name, body) : itemOf(params.name, body)];
    const precondition = preconditionOf(request);
    const [written] = await writeSecrets(deps, {
      factory,
      caller,
      items,
      precondition,
      allowUnusable: query.allowUnusable,
      via: "api",
      requested: requestedBy(request),
    });
    if (!written) throw new Error("a write of one item has one outcome");
    const { name, version, warnings } = written;
    // A staged version is no version to match: the current one is as it was.
    const headers = query.stage ? {} : etagOf(version);
    return { status: written.created ? 201 : 200, body: { name, version, warnings }, headers };
  },
);

const remove = route(
  {
    id: "deleteSecret",
    method: "delete",
    path: "/v1/factories/{factory}/secrets/{name}",
    tag: "Secrets",
    summary: "Delete a secret",
    description:
      "One that a registry entry names is deleted with `force=true` only: the entry then opens nothing. It can be had back for 30 days, or as long as the operator has set; with `purge=true` its values are destroyed at once.",
    auth: { permission: "secrets:write" },
    params: SecretParams,
    query: z.strictObject({
      force: Flag("Delete even one that a registry entry names."),
      purge: Flag("Destroy every version for good, with no way back."),
    }),
    replies: { 204: { description: "Deleted." } },
    problems: ["not-found", "precondition-failed", "secret-in-use", "conflict"],
  },
  async (deps: SecretsDeps, { caller, factory, params, query, request }) => {
    const items = [{ op: "delete", name: params.name, forced: query.force, purged: query.purge } as const];
    const precondition = preconditionOf(request);
    const [outcome] = await writeSecrets(deps, {
      factory,
      caller,
      items,
      precondition,
      via: "api",
      requested: requestedBy(request),
    });
    if (!outcome || outcome.version === 0) throw new Problem("not-found", `There is no secret "${params.name}".`);
    return { status: 204 };
  },
);

const batch = route(
  {
    id: "writeSecretBatch",
    method: "post",
    path: "/v1/factories/{factory}/secrets:batch",
    tag: "Secrets",
    summary: "Store several secrets, all or none",
    auth: { permission: "secrets:write" },
    isCostly: true,
    params: FactoryParams,
    query: z.strictObject({ allowUnusable: Flag(allowUnusableRule) }),
    body: json(SecretBatch, batchLimits),
    replies: { 200: { description: "All were stored.", content: { "application/json": WrittenBatch } } },
    problems: ["limit-reached", "secret-in-use", "secret-malformed", "conflict"],
  },
  async (deps: SecretsDeps, { caller, factory, query, body, request }) => {
    refuseDuplicates(
      body.secrets.map(({ name }) => name),
      (index) => `/secrets/${index}/name`,
    );
    const items = body.secrets.map((write: z.output<typeof NamedSecretWrite>) => itemOf(write.name, write));
    const { allowUnusable } = query;
    const input = { factory, caller, items, allowUnusable, via: "api", requested: requestedBy(request) } as const;
    const outcome = await writeSecrets(deps, input);
    return {
      status: 200,
      body: { secrets: outcome.map(({ name, version, warnings }) => ({ name, version, warnings })) },
    };
  },
);

export const secretRoutes = [list, get, put, remove, batch];
