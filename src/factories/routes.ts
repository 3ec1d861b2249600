import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { AuditWriter } from "../audit/record.js";
import { requestedBy } from "../audit/requested-by.js";
import { actorOf } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { sqlState } from "../core/database-errors.js";
import { Problem } from "../core/problem.js";
import type { KeyRing } from "../crypto/key-ring.js";
import type { PrismaClient } from "../db/database.js";
import type { Generations } from "../db/generations.js";
import { FactoryName, FactoryParams, NextPageToken, PageQuery, Timestamp } from "../http/contract.js";
import { pageOf } from "../http/page.js";
import { json, route } from "../http/route.js";
import { deleteFactory } from "./delete-factory.js";
import { factoryOfName, findFactory, insertFactory, listFactories } from "./store.js";

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
