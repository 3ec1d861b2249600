import { randomUUID } from "node:crypto";
import { z } from "zod";
import { type AuditWriter, requestedBy } from "../audit/record.js";
import { actorOf } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { sqlState } from "../core/database-errors.js";
import { Problem } from "../core/problem.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import type { Generations } from "../db/generations.js";
import { FactoryName, FactoryParams, NextPageToken, PageQuery, Timestamp } from "../http/contract.js";
import { pageOf } from "../http/page.js";
import { etag, etagOf, preconditionOf } from "../http/preconditions.js";
import { json, route } from "../http/route.js";
import {
  changeSettings,
  deleteFactory,
  type FactorySettingsRow,
  factoryOfName,
  findFactory,
  findSettings,
  insertFactory,
  listFactories,
} from "./store.js";

const FactoryRequest = z.strictObject({ name: FactoryName }).meta({ id: "FactoryRequest" });

const Factory = z
  .object({
    id: z
      .uuid()
      .meta({ description: "Never changes; the factory's name in certificates and in the cloud's own logs." }),
    name: z.string(),
    createdAt: Timestamp,
  })
  .meta({ id: "Factory" });

const FactoryList = z.object({ items: z.array(Factory), nextPageToken: NextPageToken }).meta({ id: "FactoryList" });

type Deps = { prisma: PrismaClient; audit: AuditWriter; keys: KeyRing };
type RemoveDeps = Pick<Deps, "prisma" | "audit"> & { generations: Generations };

const noFactory = (): Problem => new Problem("not-found", "There is no such factory.");

const view = (row: { id: string; name: string; createdAt: Date }) => ({
  id: row.id,
  name: row.name,
  createdAt: row.createdAt.toISOString(),
});

const list = route(
  {
    id: "listFactories",
    method: "get",
    path: "/v1/factories",
    tag: "Factories",
    summary: "List the factories",
    auth: "operator",
    query: PageQuery,
    replies: { 200: { description: "By name.", content: { "application/json": FactoryList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { page }) => {
    const rows = await listFactories(prisma, page);
    return { status: 200, body: await pageOf(page, rows, ({ name }) => [name], view) };
  },
);

const create = route(
  {
    id: "createFactory",
    method: "post",
    path: "/v1/factories",
    tag: "Factories",
    summary: "Create a factory",
    description: "A name is given out once: it stays taken after the factory is deleted.",
    auth: "operator",
    body: json(FactoryRequest),
    replies: { 201: { description: "Created.", content: { "application/json": Factory } } },
    problems: ["already-exists", "name-retired"],
  },
  async ({ prisma, audit, keys }: Deps, { caller, body, request }) => {
    const factory = { id: randomUUID(), name: body.name, createdAt: databaseNow() };
    // Wrapped before the transaction begins: a cloud KMS answers over the network.
    const dataKeys = [
      await keys.createDataKey(factory.id, "secret"),
      await keys.createDataKey(factory.id, "fingerprint"),
    ];
    try {
      await prisma.$transaction(async (transaction) => {
        await insertFactory(transaction, factory, dataKeys);
        const requested = requestedBy(request);
        const event = { at: factory.createdAt, outcome: "allowed", actor: actorOf(caller), ...requested } as const;
        await audit.writeWith(transaction, [
          { ...event, factory: { id: factory.id, name: factory.name }, body: { action: "factory.created" } },
        ]);
      });
    } catch (error) {
      throw (await nameTaken(prisma, body.name, error)) ?? error;
    }
    return { status: 201, body: view(factory) };
  },
);

async function nameTaken(prisma: PrismaClient, name: string, error: unknown): Promise<Problem | undefined> {
  const uniqueViolation =
    sqlState(error) === "23505" || (error instanceof Error && "code" in error && error.code === "P2002");
  if (!uniqueViolation) return undefined;
  const holder = await factoryOfName(prisma, name);
  return holder?.deletedAt
    ? new Problem(
        "name-retired",
        `A factory named "${name}" existed before, and a name is never given out again. Choose another.`,
      )
    : new Problem("already-exists", `There is a factory named "${name}" already.`);
}

const get = route(
  {
    id: "getFactory",
    method: "get",
    path: "/v1/factories/{factory}",
    tag: "Factories",
    summary: "One factory",
    auth: "operator",
    params: FactoryParams,
    replies: { 200: { description: "The factory.", content: { "application/json": Factory } } },
    problems: ["not-found"],
  },
  async ({ prisma }: Pick<Deps, "prisma">, { params }) => {
    const row = await findFactory(prisma, params.factory);
    if (!row) throw noFactory();
    return { status: 200, body: view(row) };
  },
);

const remove = route(
  {
    id: "deleteFactory",
    method: "delete",
    path: "/v1/factories/{factory}",
    tag: "Factories",
    summary: "Delete a factory",
    description: "Its secrets, their keys and its config are destroyed, its credentials withdrawn. The audit stays.",
    auth: "operator",
    params: FactoryParams,
    replies: { 204: { description: "Deleted." } },
    problems: ["not-found"],
  },
  async (deps: RemoveDeps, { caller, params, request }) => {
    const row = await findFactory(deps.prisma, params.factory);
    if (!row) throw noFactory();
    const factory = { id: row.id, name: row.name };
    await deleteFactory(deps, { factory, caller, requested: requestedBy(request) });
    return { status: 204 };
  },
);

export const factoryRoutes = [list, create, get, remove];

const keepVersions = z.int().min(1).max(1_000);
const rotationGraceSeconds = z.int().min(0).max(2_592_000);

const keepVersionsText =
  "How many versions of each secret are kept. A smaller number holds from a secret's next write on; the current version and the one before are always kept.";
const rotationGraceText =
  "For how long the version that was current before can be destroyed with `force` only. 0 to 30 days.";

const FactorySettings = z
  .object({
    keepVersions: keepVersions.meta({ description: keepVersionsText }),
    rotationGraceSeconds: rotationGraceSeconds.meta({ description: rotationGraceText }),
  })
  .meta({ id: "FactorySettings" });

const FactorySettingsChange = z
  .strictObject({
    keepVersions: keepVersions.optional().meta({ description: keepVersionsText }),
    rotationGraceSeconds: rotationGraceSeconds.optional().meta({ description: rotationGraceText }),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), "changes nothing")
  .meta({ id: "FactorySettingsChange", description: "What is absent stays as it is." });

type Reader = { prisma: PrismaClient };

const noSuchFactory = (): Problem =>
  new Problem("not-found", "There is no such factory, or this credential is not of it.");

const reply = ({ settingsVersion, keepVersions, rotationGraceSeconds }: FactorySettingsRow) => ({
  status: 200 as const,
  body: { keepVersions, rotationGraceSeconds },
  headers: etagOf(settingsVersion),
});

const getSettings = route(
  {
    id: "getFactorySettings",
    method: "get",
    path: "/v1/factories/{factory}/settings",
    tag: "Factories",
    summary: "How a factory keeps its secrets",
    auth: { permission: "secrets:list" },
    params: FactoryParams,
    replies: {
      200: { description: "The settings.", content: { "application/json": FactorySettings }, headers: etag },
    },
    problems: ["not-found"],
  },
  async ({ prisma }: Reader, { factory }) => {
    const row = await findSettings(prisma, factory.id);
    if (!row) throw noSuchFactory();
    return reply(row);
  },
);

const change = route(
  {
    id: "changeFactorySettings",
    method: "patch",
    path: "/v1/factories/{factory}/settings",
    tag: "Factories",
    summary: "Change how a factory keeps its secrets",
    auth: { permission: "secrets:write" },
    params: FactoryParams,
    body: json(FactorySettingsChange),
    replies: {
      200: { description: "The settings now.", content: { "application/json": FactorySettings }, headers: etag },
    },
    problems: ["not-found", "precondition-failed"],
  },
  async ({ prisma, audit }: Reader & { audit: AuditWriter }, { caller, factory, body, request }) => {
    const precondition = preconditionOf(request);
    // Settings are always there: anyone who wants them absent wants what cannot be.
    const ifVersion = precondition === "absent" ? -1 : precondition === "present" ? undefined : precondition;
    const row = await prisma.$transaction(async (transaction) => {
      const changed = await changeSettings(transaction, factory.id, body, ifVersion);
      if (!changed) return undefined;
      const { keepVersions, rotationGraceSeconds } = changed;
      const event = { at: databaseNow(), outcome: "allowed", actor: actorOf(caller), factory } as const;
      const settings = { action: "factory.settings-changed", keepVersions, rotationGraceSeconds } as const;
      await audit.writeWith(transaction, [{ ...event, ...requestedBy(request), body: settings }]);
      return changed;
    });
    if (row) return reply(row);
    const now = await findSettings(prisma, factory.id);
    if (!now) throw noSuchFactory();
    throw new Problem("precondition-failed", `The settings are at version ${now.settingsVersion}. Read them again.`);
  },
);

export const factorySettingsRoutes = [getSettings, change];
