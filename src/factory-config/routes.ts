import { z } from "zod";
import { requestedBy } from "../audit/record.js";
import type { FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryInPath, FactoryParams, Flag, PageQuery, VersionInPath } from "../http/contract.js";
import { pageOf } from "../http/page.js";
import { etag, etagOf, preconditionOf } from "../http/preconditions.js";
import { PreparedJson, route } from "../http/route.js";
import { type ConfigVersion, ConfigVersionList, FactoryConfig, PublishQuery, WrittenConfig } from "./contract.js";
import { viewOfEntry } from "./convert-entry.js";
import type { ParsedVersions } from "./current-config.js";
import { maxDocumentBytes } from "./document-text.js";
import { type PublishDeps, publishVersion } from "./publish-version.js";
import { currentDocument, findVersion, listVersions } from "./store.js";

type Reader = { prisma: PrismaClient; parsedVersions: ParsedVersions };

const yaml = "application/yaml";
const parsedContent = { "application/json": FactoryConfig };
const documentContent = { [yaml]: z.string().meta({ description: "The document, byte for byte as it was put." }) };
const VersionParams = z.object({
  factory: FactoryInPath,
  version: VersionInPath,
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

type StoredDocument = { version: number; document: Buffer };

async function parsedReply(
  { parsedVersions }: Pick<Reader, "parsedVersions">,
  factory: FactoryRef,
  stored: StoredDocument,
) {
  const { version } = stored;
  const parsed = await parsedVersions.parse(factory.id, stored);
  if (!parsed.ok)
    throw new Problem("invalid-config", "This release cannot parse that version. Its bytes are at .../document.");
  const { json, entries } = parsed.config;
  const views = FactoryConfig.shape.entries.parse(entries.map(({ entry }) => viewOfEntry(entry)));
  // The document is JSON already, and may be a megabyte: it is not parsed once more to be written again.
  const body = new PreparedJson(`{"version":${version},"document":${json},"entries":${JSON.stringify(views)}}`);
  return { status: 200, body, headers: etagOf(version) } as const;
}

function documentReply({ version, document }: StoredDocument) {
  return { status: 200, body: document.toString("utf8"), headers: etagOf(version) } as const;
}

async function requireCurrent(prisma: PrismaClient, factory: FactoryRef): Promise<StoredDocument> {
  const current = await currentDocument(prisma, factory.id);
  if (!current) throw noConfig();
  return current;
}

async function requireVersion(prisma: PrismaClient, factory: FactoryRef, version: number) {
  const row = await findVersion(prisma, factory.id, version);
  if (!row) throw new Problem("not-found", `There is no version ${version} of the config.`);
  return row;
}

const getConfig = route(
  {
    id: "getConfig",
    method: "get",
    path: "/v1/factories/{factory}/config",
    tag: "Factory config",
    summary: "The factory config, parsed",
    auth: { permission: "config:read" },
    params: FactoryParams,
    replies: { 200: { description: "The current config.", content: parsedContent, headers: etag } },
    problems: ["not-found", "invalid-config"],
  },
  async (deps: Reader, { factory }) => parsedReply(deps, factory, await requireCurrent(deps.prisma, factory)),
);

const getConfigDocument = route(
  {
    id: "getConfigDocument",
    method: "get",
    path: "/v1/factories/{factory}/config/document",
    tag: "Factory config",
    summary: "The YAML document of the factory config",
    auth: { permission: "config:read" },
    isCostly: true,
    params: FactoryParams,
    replies: { 200: { description: "The current document.", content: documentContent, headers: etag } },
    problems: ["not-found"],
  },
  async ({ prisma }: Pick<Reader, "prisma">, { factory }) => documentReply(await requireCurrent(prisma, factory)),
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
    summary: "One version of the config, parsed",
    auth: { permission: "config:read" },
    params: VersionParams,
    replies: { 200: { description: "That version.", content: parsedContent, headers: etag } },
    problems: ["not-found", "invalid-config"],
  },
  async (deps: Reader, { factory, params }) =>
    parsedReply(deps, factory, await requireVersion(deps.prisma, factory, params.version)),
);

const getConfigVersionDocument = route(
  {
    id: "getConfigVersionDocument",
    method: "get",
    path: "/v1/factories/{factory}/config/versions/{version}/document",
    tag: "Factory config",
    summary: "The YAML document of one version of the config",
    auth: { permission: "config:read" },
    isCostly: true,
    params: VersionParams,
    replies: { 200: { description: "That document.", content: documentContent, headers: etag } },
    problems: ["not-found"],
  },
  async ({ prisma }: Pick<Reader, "prisma">, { factory, params }) =>
    documentReply(await requireVersion(prisma, factory, params.version)),
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
    const row = await requireVersion(deps.prisma, factory, params.version);
    const requested = requestedBy(request);
    const precondition = preconditionOf(request);
    const input = { factory, caller, document: row.document, precondition, ...query, dryRun: false, requested };
    const { created: _created, ...written } = await publishVersion(deps, { ...input, restoredFrom: row.version });
    return { status: 200, body: written, headers: etagOf(written.version) };
  },
);

export const configRoutes = [
  getConfig,
  getConfigDocument,
  putConfig,
  listConfigVersions,
  getConfigVersion,
  getConfigVersionDocument,
  restoreConfigVersion,
];
