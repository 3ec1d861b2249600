import type { AuditWriter } from "../audit/record.js";
import { requestedBy } from "../audit/requested-by.js";
import { actorOf } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams } from "../http/contract.js";
import { etagOf, preconditionOf } from "../http/preconditions.js";
import { json, route } from "../http/route.js";
import { FactorySettings, FactorySettingsChange } from "./settings-contract.js";
import { changeSettings, type FactorySettingsRow, findSettings } from "./store.js";

type Reader = { prisma: PrismaClient };

const etag = { ETag: "The version of the settings." };

const noFactory = (): Problem => new Problem("not-found", "There is no such factory, or this credential is not of it.");

const reply = ({ settingsVersion, keepVersions, rotationGraceSeconds }: FactorySettingsRow) => ({
  status: 200 as const,
  body: { keepVersions, rotationGraceSeconds },
  headers: etagOf(settingsVersion),
});

const get = route(
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
    if (!row) throw noFactory();
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
    // Settings are always there: whoever wants them absent wants what cannot be.
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
    if (!now) throw noFactory();
    throw new Problem("precondition-failed", `The settings are at version ${now.settingsVersion}. Read them again.`);
  },
);

export const factorySettingsRoutes = [get, change];
