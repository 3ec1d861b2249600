import { createHash } from "node:crypto";
import { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import type { PrismaClient } from "../../db/database.js";
import { Flag, NextPageToken, PageQuery, Timestamp, VersionInPath } from "../../http/contract.js";
import { pageOf } from "../../http/page.js";
import { etag, etagOf, preconditionOf } from "../../http/preconditions.js";
import { type RequestFacts, route } from "../../http/route.js";
import { SecretParams, WrittenSecret } from "../contract.js";
import type { OpenDeps } from "../open-secret.js";
import { allowUnusableRule, onceJudged, refuseUnusableStored, type UnusableDeps } from "../refuse-unusable.js";
import type { SecretsDeps } from "../write-secrets.js";
import { destroyVersion, graceEnd, noSecret, type VersionDeps, type VersionInput } from "./change-version.js";

import {
  type Current,
  promoteTriedVersion,
  promoteVersion,
  rollBack,
  rollBackUsable,
  type TriedPromotionDeps,
} from "./promote-version.js";
import { restoreVersion } from "./restore-version.js";
import { findHead, type findVersion, type HeldSecret, listVersions } from "./store.js";

export const SecretVersionParams = SecretParams.extend({ version: VersionInPath });

export const SecretVersion = z
  .object({
    version: z.int(),
    state: z.enum(["current", "previous", "staged", "superseded", "destroyed"]).meta({
      id: "SecretVersionState",
      description:
        "`current`: what tokens are minted from. `previous`: what was current before, and what a rollback goes back to. `staged`: waits to be promoted. `destroyed`: its value is gone for good.",
    }),
    fingerprint: z.string().optional().meta({
      description:
        "Keyed: two versions of one secret hold the same value when theirs are equal. Absent once destroyed, and where it is not known since its key was replaced.",
      example: "fp-5e1f0c9a3b7d2468ace0",
    }),
    deliverToJobs: z.boolean().meta({
      description:
        "While it is current, its value may leave in a job's /secrets. Never for a version that was current while an entry named the secret.",
    }),
    createdAt: Timestamp,
    createdBy: z.string(),
    expiresAt: Timestamp.optional().meta({ description: "When the credential in it ends, as its writer noted." }),
    restoredFrom: z.int().optional().meta({ description: "The older version that this one repeats." }),
    keptUntil: Timestamp.optional().meta({
      description:
        "Of the previous one: until then it is destroyed with `force` only. Tokens minted from it stay valid.",
    }),
    destroyedAt: Timestamp.optional(),
  })
  .meta({ id: "SecretVersion" });

export const SecretVersionList = z
  .object({ items: z.array(SecretVersion), nextPageToken: NextPageToken })
  .meta({ id: "SecretVersionList" });

export const CurrentVersion = z
  .object({
    name: z.string(),
    version: z.int().meta({ description: "The current version now." }),
    previousVersion: z.int().optional().meta({ description: "The one before, which a rollback goes back to." }),
  })
  .meta({ id: "CurrentVersion" });

const shownBytes = 10;

/**
 * The keyed fingerprint of a version as people compare it with those of other versions of the same secret: `fp-` and 80
 * bits in hexadecimal. It is another one for the same value in another secret: whoever may write secrets could else try
 * guesses under names of their own, and nobody would see it.
 */
function fingerprintText(secretId: string, fingerprint: Uint8Array): string {
  const shown = createHash("sha256").update(secretId, "utf8").update(fingerprint).digest().subarray(0, shownBytes);
  return `fp-${shown.toString("hex")}`;
}

type Reader = { prisma: PrismaClient };
type Row = NonNullable<Awaited<ReturnType<typeof findVersion>>>;

function stateOf(secret: HeldSecret, row: Row): z.input<typeof SecretVersion>["state"] {
  if (row.destroyedAt) return "destroyed";
  if (row.version === secret.currentVersion) return "current";
  if (row.staged) return "staged";
  return row.version === secret.previousVersion ? "previous" : "superseded";
}

const versionView =
  (secret: HeldSecret) =>
  (row: Row): z.input<typeof SecretVersion> => {
    const state = stateOf(secret, row);
    const keptUntil = state === "previous" ? graceEnd(secret) : undefined;
    return {
      version: row.version,
      state,
      deliverToJobs: row.deliverToJobs,
      createdAt: row.createdAt.toISOString(),
      createdBy: row.createdByName,
      ...(row.fingerprint.length > 0 && { fingerprint: fingerprintText(secret.id, row.fingerprint) }),
      ...(row.expiresAt && { expiresAt: row.expiresAt.toISOString() }),
      ...(row.restoredFrom !== null && { restoredFrom: row.restoredFrom }),
      ...(keptUntil && { keptUntil: keptUntil.toISOString() }),
      ...(row.destroyedAt && { destroyedAt: row.destroyedAt.toISOString() }),
    };
  };

function inputOf(route: { caller: Caller; factory: FactoryRef; params: { name: string }; request: RequestFacts }) {
  const { caller, factory, params, request } = route;
  const requested = requestedBy(request);
  return {
    factory,
    caller,
    name: params.name,
    precondition: preconditionOf(request),
    requested,
  } satisfies VersionInput;
}

const currentReply = (current: Current) => ({ status: 200 as const, body: current, headers: etagOf(current.version) });

const list = route(
  {
    id: "listSecretVersions",
    method: "get",
    path: "/v1/factories/{factory}/secrets/{name}/versions",
    tag: "Secrets",
    summary: "The versions of a secret, never their values",
    auth: { permission: "secrets:list" },
    params: SecretParams,
    query: PageQuery,
    replies: {
      200: { description: "Newest first.", content: { "application/json": SecretVersionList }, headers: etag },
    },
    problems: ["not-found"],
  },
  async ({ prisma }: Reader, { factory, params, page }) => {
    const secret = await findHead(prisma, factory.id, params.name);
    if (!secret) throw noSecret(params.name);
    const rows = await listVersions(prisma, secret.id, page);
    const body = await pageOf(page, rows, ({ version }) => [String(version)], versionView(secret));
    return { status: 200, body, headers: etagOf(secret.currentVersion) };
  },
);

const restore = route(
  {
    id: "restoreSecretVersion",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}/versions/{version}:restore",
    tag: "Secrets",
    summary: "Make an older version the newest one",
    description:
      "As a new version with the same value, current at once. It is delivered to jobs if the older one is, for which it takes secrets:deliver where the current version is not.",
    auth: { permission: "secrets:write" },
    params: SecretVersionParams,
    query: z.strictObject({ allowUnusable: Flag(allowUnusableRule) }),
    replies: {
      200: { description: "The new version.", content: { "application/json": WrittenSecret }, headers: etag },
    },
    problems: [
      "not-found",
      "precondition-failed",
      "version-unsuitable",
      "secret-unreadable",
      "secret-malformed",
      "secret-in-use",
      "conflict",
    ],
  },
  async (deps: SecretsDeps & OpenDeps, input) => {
    const { version } = input.params;
    const written = await restoreVersion(deps, { ...inputOf(input), version, ...input.query });
    const body = { name: written.name, version: written.version, warnings: written.warnings };
    return { status: 200, body, headers: etagOf(written.version) };
  },
);

const promote = route(
  {
    id: "promoteSecretVersion",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}/versions/{version}:promote",
    tag: "Secrets",
    summary: "Make a staged version the current one",
    description:
      "New tokens are minted from it at once. Tokens minted before stay valid, and the version before stays. To promote one that is delivered to jobs where the current version is not takes secrets:deliver.",
    auth: { permission: "secrets:write" },
    params: SecretVersionParams,
    query: z.strictObject({
      doctor: Flag("Try it first, as `:doctor` does, and promote it only when every registry lets it in."),
      allowUnusable: Flag(allowUnusableRule),
    }),
    replies: { 200: { description: "Promoted.", content: { "application/json": CurrentVersion }, headers: etag } },
    problems: [
      "not-found",
      "precondition-failed",
      "version-unsuitable",
      "conflict",
      "limit-reached",
      "secret-unreadable",
      "secret-malformed",
      "invalid-config",
      "secret-in-use",
      "too-many-requests",
    ],
  },
  async (deps: TriedPromotionDeps & UnusableDeps, input) => {
    const { doctor, allowUnusable } = input.query;
    const target = { ...inputOf(input), version: input.params.version };
    const judge = async () => (allowUnusable ? undefined : await refuseUnusableStored(deps, target));
    // What was tried at registries is not tried again: how often that is done is limited.
    const current = doctor
      ? await promoteTriedVersion(deps, { ...target, judgedBy: await judge() })
      : await onceJudged(judge, (judgedBy) => promoteVersion(deps, { ...target, judgedBy }));
    return currentReply(current);
  },
);

const rollback = route(
  {
    id: "rollBackSecret",
    method: "post",
    path: "/v1/factories/{factory}/secrets/{name}:rollback",
    tag: "Secrets",
    summary: "Go back to the version that was current before",
    description:
      "Once: the version that it leaves is staged again, and can be promoted again. To go back to one that is delivered to jobs from one that is not takes secrets:deliver.",
    auth: { permission: "secrets:write" },
    params: SecretParams,
    query: z.strictObject({ allowUnusable: Flag(allowUnusableRule) }),
    replies: { 200: { description: "Rolled back.", content: { "application/json": CurrentVersion }, headers: etag } },
    problems: [
      "not-found",
      "precondition-failed",
      "version-unsuitable",
      "secret-in-use",
      "secret-unreadable",
      "secret-malformed",
      "conflict",
    ],
  },
  async (deps: VersionDeps & UnusableDeps, input) => {
    const back = input.query.allowUnusable ? rollBack : rollBackUsable;
    return currentReply(await back(deps, inputOf(input)));
  },
);

const destroy = route(
  {
    id: "destroySecretVersion",
    method: "delete",
    path: "/v1/factories/{factory}/secrets/{name}/versions/{version}",
    tag: "Secrets",
    summary: "Destroy the value of one version for good",
    description: "Its number stays. Never the current version.",
    auth: { permission: "secrets:write" },
    params: SecretVersionParams,
    query: z.strictObject({ force: Flag("Also the previous version while it can be rolled back to.") }),
    replies: { 204: { description: "Destroyed." } },
    problems: ["not-found", "precondition-failed", "secret-in-use"],
  },
  async (deps: VersionDeps, input) => {
    await destroyVersion(deps, { ...inputOf(input), version: input.params.version, forced: input.query.force });
    return { status: 204 };
  },
);

export const secretVersionRoutes = [list, restore, promote, rollback, destroy];
