import { z } from "zod";
import { requestedBy } from "../audit/requested-by.js";
import type { FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryInPath, FactoryParams, Flag, PageQuery } from "../http/contract.js";
import { pageOf } from "../http/page.js";
import { etagOf, preconditionOf } from "../http/preconditions.js";
import { PreparedJson, type RequestFacts, route } from "../http/route.js";
import { type ConfigVersion, ConfigVersionList, FactoryConfig, PublishQuery, WrittenConfig } from "./contract.js";
import { viewOfEntry } from "./convert-entry.js";
import { maxDocumentBytes } from "./document-text.js";
import type { ParsedVersions } from "./parsed-versions.js";
import { type PublishDeps, publishVersion } from "./publish-version.js";
import { currentDocument, findVersion, listVersions } from "./store.js";

type Reader = { prisma: PrismaClient; parsedVersions: ParsedVersions };

const yaml = "application/yaml";
const documentContent = {
  [yaml]: z.string().meta({ description: "The document, byte for byte as it was put." }),
  "application/json": FactoryConfig,
};
const etag = { ETag: "The version." };
const VersionParams = z.object({
  factory: FactoryInPath,
  version: z.coerce.number().int().min(1).max(2_147_483_647).meta({ description: "Number of a version." }),
});

const noConfig = (): Problem =>
  new Problem(
    "not-found",
    "There is no factory config yet. Put one: curl -X PUT --data-binary @factory-config.yml .../config",
  );

/** A mistyped file name makes curl send nothing: taken as a config, that would end every entry. */
function refuseNothing(document: Buffer): void {
  if (
    document
      .toString("utf8")
      .split(/[\r\n]/)
      .some((line) => !/^\s*(?:#|$)/.test(line))
  )
    return;
  throw new Problem(
    "invalid-config",
    "The document is empty: is the file there? To remove all entries put `container_registries: []`.",
  );
}

async function documentReply(
  { parsedVersions }: Pick<Reader, "parsedVersions">,
  factory: FactoryRef,
  request: RequestFacts,
  { version, document }: { version: number; document: Buffer },
) {
  const mediaType = request.accepts(yaml, "application/json");
  if (!mediaType)
    throw new Problem("not-acceptable", `Accept ${yaml} for the document, or application/json for it parsed.`);
  const headers = etagOf(version);
  if (mediaType === yaml) return { status: 200, mediaType, body: document.toString("utf8"), headers } as const;
  const parsed = await parsedVersions.parse(factory.id, { version, document });
  if (!parsed.ok)
    throw new Problem("invalid-config", "This release cannot parse that version. Ask for application/yaml.");
  const { json, entries } = parsed.config;
  const views = FactoryConfig.shape.entries.parse(entries.map(({ entry }) => viewOfEntry(entry)));
  // The document is JSON already, and may be a megabyte: it is not parsed once more to be written again.
  const body = new PreparedJson(`{"version":${version},"document":${json},"entries":${JSON.stringify(views)}}`);
  return { status: 200, mediaType, body, headers } as const;
}

const getConfig = route(
  {
    id: "getConfig",
    method: "get",
    path: "/v1/factories/{factory}/config",
    tag: "Factory config",
    summary: "The factory config",
    auth: { permission: "config:read" },
    isCostly: true,
    params: FactoryParams,
    replies: { 200: { description: "The current document.", content: documentContent, headers: etag } },
    problems: ["not-found", "not-acceptable", "invalid-config"],
  },
  async (deps: Reader, { factory, request }) => {
    const current = await currentDocument(deps.prisma, factory.id);
    if (!current) throw noConfig();
    return documentReply(deps, factory, request, current);
  },
);

const putConfig = route(
  {
    id: "putConfig",
    method: "put",
    path: "/v1/factories/{factory}/config",
    tag: "Factory config",
    summary: "Publish a factory config",
    description:
      "The document is stored byte for byte. Naming a secret in an entry, or moving an entry that names one to another type or host, needs secrets:write too.",
    auth: { permission: "config:write" },
    isCostly: true,
    params: FactoryParams,
    query: PublishQuery.extend({
      dryRun: Flag("Check everything, write nothing."),
    }),
    // Larger than a document may be, so that one that is too large is told so as a document.
    body: { kind: "document", mediaType: yaml, maxBytes: 4 * maxDocumentBytes },
    replies: {
      200: { description: "Published, or checked.", content: { "application/json": WrittenConfig }, headers: etag },
      201: {
        description: "The first version was published.",
        content: { "application/json": WrittenConfig },
        headers: etag,
      },
    },
    problems: ["invalid-config", "destination-not-approved", "precondition-failed"],
  },
  async (deps: PublishDeps, { caller, factory, query, body, request }) => {
    refuseNothing(body);
    const requested = requestedBy(request);
    const precondition = preconditionOf(request);
    const { created, ...written } = await publishVersion(deps, {
      factory,
      caller,
      document: body,
      precondition,
      ...query,
      requested,
    });
    const status = created && !query.dryRun ? 201 : 200;
    return { status, body: written, ...(query.dryRun ? {} : { headers: etagOf(written.version) }) };
  },
);

const listConfigVersions = route(
  {
    id: "listConfigVersions",
    method: "get",
    path: "/v1/factories/{factory}/config/versions",
    tag: "Factory config",
    summary: "The history of the config",
    auth: { permission: "config:read" },
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": ConfigVersionList } } },
    problems: [],
  },
  async ({ prisma }: Pick<Reader, "prisma">, { factory, page }) => {
    const rows = await listVersions(prisma, factory.id, page);
    const current = await currentDocument(prisma, factory.id);
    const view = (row: (typeof rows)[number]): z.input<typeof ConfigVersion> => ({
      version: row.version,
      current: row.version === current?.version,
      createdAt: row.createdAt.toISOString(),
      createdBy: row.createdByName,
      ...(row.reason !== null && { reason: row.reason }),
      ...(row.restoredFrom !== null && { restoredFrom: row.restoredFrom }),
    });
    return { status: 200, body: await pageOf(page, rows, ({ version }) => [String(version)], view) };
  },
);

const getConfigVersion = route(
  {
    id: "getConfigVersion",
    method: "get",
    path: "/v1/factories/{factory}/config/versions/{version}",
    tag: "Factory config",
    summary: "One version of the config",
    auth: { permission: "config:read" },
    isCostly: true,
    params: VersionParams,
    replies: { 200: { description: "That document.", content: documentContent, headers: etag } },
    problems: ["not-found", "not-acceptable", "invalid-config"],
  },
  async (deps: Reader, { factory, params, request }) => {
    const row = await findVersion(deps.prisma, factory.id, params.version);
    if (!row) throw new Problem("not-found", `There is no version ${params.version} of the config.`);
    return documentReply(deps, factory, request, row);
  },
);

const restoreConfigVersion = route(
  {
    id: "restoreConfigVersion",
    method: "post",
    path: "/v1/factories/{factory}/config/versions/{version}:restore",
    tag: "Factory config",
    summary: "Publish an older version again",
    description: "As a new version, by the rules of today: a secret that is sent elsewhere now needs secrets:write.",
    auth: { permission: "config:write" },
    isCostly: true,
    params: VersionParams,
    query: PublishQuery,
    replies: { 200: { description: "Published.", content: { "application/json": WrittenConfig }, headers: etag } },
    problems: ["not-found", "invalid-config", "destination-not-approved", "precondition-failed"],
  },
  async (deps: PublishDeps, { caller, factory, params, query, request }) => {
    const row = await findVersion(deps.prisma, factory.id, params.version);
    if (!row) throw new Problem("not-found", `There is no version ${params.version} of the config.`);
    const requested = requestedBy(request);
    const precondition = preconditionOf(request);
    const input = { factory, caller, document: row.document, precondition, ...query, dryRun: false, requested };
    const { created: _created, ...written } = await publishVersion(deps, { ...input, restoredFrom: row.version });
    return { status: 200, body: written, headers: etagOf(written.version) };
  },
);

export const configRoutes = [getConfig, putConfig, listConfigVersions, getConfigVersion, restoreConfigVersion];
