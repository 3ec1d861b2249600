import { z } from "zod";
import { type AuditWriter, type RequestedBy, requestedBy } from "../../audit/record.js";

import { actorOf, type Caller, type FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryParams, Flag, NextPageToken, PageQuery, Timestamp } from "../../http/contract.js";
import { pageOf } from "../../http/page.js";
import { etag, etagOf, preconditionOf } from "../../http/preconditions.js";
import { route } from "../../http/route.js";
import { SecretParams } from "../contract.js";
import { allowUnusableRule, onceJudged, refuseUnusableDeleted, type UnusableDeps } from "../refuse-unusable.js";
import { CurrentVersion } from "../versions/routes.js";
import {
  holdDeleted,
  listDeleted,
  removeForGood,
  type UndeleteDeps,
  undeletableSince,
  undeleteSecret,
} from "./undelete-secret.js";

const DeletedSecret = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "What was its current version, and will be again." }),
    deletedAt: Timestamp,
    undeletableUntil: Timestamp.meta({ description: "Then its values are destroyed for good." }),
  })
  .meta({ id: "DeletedSecret" });

const DeletedSecretList = z
  .object({ items: z.array(DeletedSecret), nextPageToken: NextPageToken })
  .meta({ id: "DeletedSecretList" });

const dayMs = 86_400_000;

const list = route(
  {
    id: "listDeletedSecrets",
    method: "get",
    path: "/v1/factories/{factory}/deleted-secrets",
    tag: "Secrets",
    summary: "Deleted secrets that can be had back",
    auth: { permission: "secrets:list" },
    params: FactoryParams,
    query: PageQuery,
    replies: {
      200: {
        description: "By name; of several of one name the last, which is the one that comes back.",
        content: { "application/json": DeletedSecretList },
      },
    },
    problems: [],
  },
  async ({ prisma, undeleteDays }: { prisma: PrismaClient; undeleteDays: number }, { factory, page }) => {
    const since = undeletableSince(undeleteDays, databaseNow());
    const rows = await listDeleted(prisma, { factoryId: factory.id, since, page });
    const view = ({ name, currentVersion, deletedAt }: (typeof rows)[number]) => {
      const at = deletedAt ?? since;
      const undeletableUntil = new Date(at.getTime() + undeleteDays * dayMs).toISOString();
      return { name, version: currentVersion, deletedAt: at.toISOString(), undeletableUntil };
    };
    return { status: 200, body: await pageOf(page, rows, ({ name }) => [name], view) };
  },
);

const undelete = route(
  {
    id: "undeleteSecret",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}:undelete",
    tag: "Secrets",
    summary: "Bring back a deleted secret",
    description:
      "The one of this name that was deleted last, with all its versions. Where a new secret of the name exists, that one stays. One whose value is delivered to jobs takes secrets:deliver.",
    auth: { permission: "secrets:write" },
    params: SecretParams,
    query: z.strictObject({ allowUnusable: Flag(allowUnusableRule) }),
    replies: {
      200: {
        description: "It is back.",
        content: { "application/json": CurrentVersion },
        headers: etag,
      },
    },
    problems: [
      "not-found",
      "already-exists",
      "precondition-failed",
      "limit-reached",
      "secret-in-use",
      "secret-unreadable",
      "secret-malformed",
      "conflict",
    ],
  },
  async (deps: UndeleteDeps & UnusableDeps, { caller, factory, params, query, request }) => {
    const { name } = params;
    const requested = requestedBy(request);
    const input = { factory, caller, name, precondition: preconditionOf(request), requested };
    const since = undeletableSince(deps.undeleteDays, databaseNow());
    const version = await onceJudged(
      async () => (query.allowUnusable ? undefined : await refuseUnusableDeleted(deps, input, since)),
      (judgedBy) => undeleteSecret(deps, { ...input, judgedBy }),
    );
    return { status: 200, body: { name, version }, headers: etagOf(version) };
  },
);

const purge = route(
  {
    id: "purgeDeletedSecrets",
    method: "delete",
    path: "/v1/factories/{factory}/deleted-secrets/{name}",
    tag: "Secrets",
    summary: "Destroy deleted secrets of a name for good",
    description:
      "All of them, with every version, before their time is over. A secret of the name that is in use stays.",
    auth: { permission: "secrets:write" },
    params: SecretParams,
    replies: { 204: { description: "Destroyed." } },
    problems: ["not-found"],
  },
  async (deps: { prisma: PrismaClient; audit: AuditWriter }, { caller, factory, params, request }) => {
    await purgeDeleted(deps, { factory, caller, name: params.name, requested: requestedBy(request) });
    return { status: 204 };
  },
);

export const deletedSecretRoutes = [list, undelete, purge];

type PurgeInput = { factory: FactoryRef; caller: Caller; name: string; requested: RequestedBy };

/**
 * Destroys for good every deleted secret of this name, with all its versions. One of the name that is in use stays.
 * @throws Problem `not-found`
 */
async function purgeDeleted(
  { prisma, audit }: { prisma: PrismaClient; audit: AuditWriter },
  { factory, caller, name, requested }: PurgeInput,
): Promise<void> {
  const at = databaseNow();
  await prisma.$transaction(async (transaction) => {
    const held = await holdDeleted(transaction, factory.id, name);
    if (held.length === 0) throw new Problem("not-found", `There is no deleted secret "${name}".`);
    await removeForGood(
      transaction,
      held.map(({ id }) => id),
    );
    const events = held.map(({ version }) => ({
      ...({ at, outcome: "allowed", actor: actorOf(caller), factory, ...requested } as const),
      body: { action: "secret.purged", secret: name, secretVersion: version } as const,
    }));
    await audit.writeWith(transaction, events);
  });
}
