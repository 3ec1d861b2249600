import { z } from "zod";
import type { AuditWriter } from "../audit/record.js";
import { requestedBy } from "../audit/requested-by.js";
import { actorOf } from "../core/caller.js";
import { databaseNow } from "../core/database-clock.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryParams } from "../http/contract.js";
import { etag, etagOf, preconditionOf } from "../http/preconditions.js";
import { json, route } from "../http/route.js";
import { changeSettings, type FactorySettingsRow, findSettings } from "./store.js";

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
