import { z } from "zod";
import { type AuditWriter, requestedBy } from "../../../audit/record.js";
import { databaseNow } from "../../../core/database-clock.js";
import { isPermission, isRole } from "../../../core/permissions.js";
import { Problem } from "../../../core/problem.js";
import type { PrismaClient } from "../../../db/database.js";
import type { Withdrawals } from "../../../db/withdrawals.js";
import {
  FactoryIdParams,
  FactoryInPath,
  FactoryParams,
  NextPageToken,
  PageQuery,
  Timestamp,
} from "../../../http/contract.js";
import { newestFirst, pageOf } from "../../../http/page.js";
import { json, route } from "../../../http/route.js";
import { askedPermissions, heldPermissions, Label } from "../../contract.js";
import { withdrawCredential } from "../../credentials/withdraw-credential.js";
import { addClientSecret, createClient, removeClientSecret } from "./create-client.js";
import { findClient, listClients } from "./store.js";

export const OAuthClientRequest = z
  .strictObject({
    name: Label,
    ...askedPermissions,
    expiresAt: Timestamp.optional().meta({ description: "Absent: its maker's own expiry, else until withdrawn." }),
  })
  .meta({ id: "OAuthClientRequest" });

export const OAuthClientSecret = z.object({ id: z.uuid(), createdAt: Timestamp }).meta({ id: "OAuthClientSecret" });

const clientSecret = z.string().meta({ description: "The `client_secret`. Shown this once." });

export const CreatedOAuthClientSecret = OAuthClientSecret.extend({ clientSecret }).meta({
  id: "CreatedOAuthClientSecret",
});

export const OAuthClient = z
  .object({
    id: z.uuid().meta({ description: "The `client_id`." }),
    name: z.string(),
    ...heldPermissions,
    createdAt: Timestamp,
    createdBy: z.string().meta({ description: "Name of the credential that made it." }),
    expiresAt: Timestamp.optional(),
    secrets: z.array(OAuthClientSecret).meta({ description: "Those that work: one, or two during a rotation." }),
  })
  .meta({ id: "OAuthClient" });

export const CreatedOAuthClient = OAuthClient.extend({ clientSecret }).meta({ id: "CreatedOAuthClient" });

export const OAuthClientList = z
  .object({ items: z.array(OAuthClient), nextPageToken: NextPageToken })
  .meta({ id: "OAuthClientList" });

export const OAuthClientSecretParams = z.object({
  factory: FactoryInPath,
  id: z.uuid().meta({ description: "The `id` of the client." }),
  secretId: z.uuid().meta({ description: "The `id` of the secret, as the client shows it." }),
});

type Deps = { prisma: PrismaClient; audit: AuditWriter };

const listOAuthClients = route(
  {
    id: "listOAuthClients",
    method: "get",
    path: "/v1/factories/{factory}/oauth-clients",
    tag: "Access",
    summary: "List the OAuth clients of a factory",
    auth: { permission: "access:read" },
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": OAuthClientList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { factory, page }) => {
    const rows = await listClients(prisma, { factoryId: factory.id, page, now: databaseNow() });
    return { status: 200, body: await pageOf(page, rows, newestFirst, clientView) };
  },
);

const addOAuthClient = route(
  {
    id: "createOAuthClient",
    method: "post",
    path: "/v1/factories/{factory}/oauth-clients",
    tag: "Access",
    summary: "Make an OAuth client, for fioctl login or a program",
    description: "Never with more than its maker has, nor with a longer life. The secret is shown once.",
    auth: { permission: "access:write" },
    params: FactoryParams,
    body: json(OAuthClientRequest),
    replies: { 201: { description: "Made.", content: { "application/json": CreatedOAuthClient } } },
    problems: [],
    holdsCredential: true,
  },
  async (deps: Deps, { caller, factory, body, request }) => {
    const { name, expiresAt, ...asked } = body;
    const made = await createClient(deps, {
      name,
      asked,
      expiresAt: expiresAt === undefined ? undefined : new Date(expiresAt),
      maker: caller,
      factory,
      requested: requestedBy(request),
    });
    const createdAt = made.createdAt.toISOString();
    return {
      status: 201,
      body: {
        id: made.id,
        name,
        permissions: [...made.permissions],
        ...(made.roles.length > 0 && { roles: [...made.roles] }),
        createdAt,
        createdBy: caller.name,
        ...(made.expiresAt && { expiresAt: made.expiresAt.toISOString() }),
        secrets: [{ id: made.secret.id, createdAt }],
        clientSecret: made.secret.text,
      },
    };
  },
);

const getOAuthClient = route(
  {
    id: "getOAuthClient",
    method: "get",
    path: "/v1/factories/{factory}/oauth-clients/{id}",
    tag: "Access",
    summary: "One OAuth client",
    auth: { permission: "access:read" },
    params: FactoryIdParams,
    replies: { 200: { description: "The client.", content: { "application/json": OAuthClient } } },
    problems: ["not-found"],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { factory, params }) => {
    const row = await findClient(prisma, { id: params.id, factoryId: factory.id, now: databaseNow() });
    if (!row) throw new Problem("not-found", "There is no such client.");
    return { status: 200, body: clientView(row) };
  },
);

const deleteOAuthClient = route(
  {
    id: "deleteOAuthClient",
    method: "delete",
    path: "/v1/factories/{factory}/oauth-clients/{id}",
    tag: "Access",
    summary: "Withdraw an OAuth client",
    description: "Its access tokens, refresh tokens and the jobs that it opened end with it.",
    auth: { permission: "access:write" },
    params: FactoryIdParams,
    replies: { 204: { description: "Withdrawn." } },
    problems: ["not-found", "last-admin"],
  },
  async (deps: Deps & { withdrawals: Withdrawals }, { caller, factory, params, request }) => {
    const requested = requestedBy(request);
    await withdrawCredential(deps, { id: params.id, kind: "oauth-client", factory, caller, requested });
    return { status: 204 };
  },
);

type Row = Awaited<ReturnType<typeof listClients>>[number];

function clientView(row: Row): z.input<typeof OAuthClient> {
  const roles = row.roles.filter(isRole);
  return {
    id: row.id,
    name: row.name,
    permissions: row.permissions.filter(isPermission),
    ...(roles.length > 0 && { roles }),
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdByName,
    ...(row.expiresAt && { expiresAt: row.expiresAt.toISOString() }),
    secrets: row.secrets.map(({ id, createdAt }) => ({ id, createdAt: createdAt.toISOString() })),
  };
}

export const clientRoutes = [listOAuthClients, addOAuthClient, getOAuthClient, deleteOAuthClient];

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
