import { z } from "zod";
import { requestedBy } from "../audit/record.js";
import type { Caller, FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { PrismaClient } from "../db/database.js";
import { FactoryInPath, FactoryParams, PageQuery } from "../http/contract.js";
import { pageOf } from "../http/page.js";
import { etag, etagOf, preconditionOf } from "../http/preconditions.js";
import { json, type RequestFacts, route } from "../http/route.js";
import {
  PublishQuery,
  RegistryEntryInput,
  RegistryEntryList,
  RegistryEntryView,
  WrittenConfig,
  WrittenEntry,
} from "./contract.js";
import { entryFromInput, viewOfEntry } from "./convert-entry.js";
import { currentEntries, type ParsedVersions } from "./current-config.js";
import type { RegistryEntry } from "./entry.js";

import { type PublishDeps, type Published, publishVersion } from "./publish-version.js";
import { currentDocument } from "./store.js";

type Reader = { prisma: PrismaClient; parsedVersions: ParsedVersions };

const EntryParams = z.object({
  factory: FactoryInPath,
  id: z
    .string()
    .max(300)
    .meta({
      description: "The entry's `id`: its host, or `type[:region[:profile]]`.",
      param: { id: "RegistryIdInPath" },
    }),
});
const editProblems = ["invalid-config", "destination-not-approved", "precondition-failed", "conflict"] as const;

function checkedEntry(input: RegistryEntryInput): RegistryEntry {
  const result = entryFromInput(input);
  if (result.ok) return result.entry;
  const { invalid } = result;
  throw new Problem("invalid-request", invalid.map(({ at, reason }) => `${at}: ${reason}`).join(" "), { invalid });
}

const maxAttempts = 5;

/** Edits the current document as text and publishes it, if it is still current by then; else edits the newer one. */
async function editCurrent(
  deps: PublishDeps,
  input: {
    factory: FactoryRef;
    caller: Caller;
    request: RequestFacts;
    query: z.output<typeof PublishQuery>;
    edit: (text: string) => Promise<string>;
  },
): Promise<Published> {
  const { factory, caller, request, query } = input;
  const demanded = preconditionOf(request);
  for (let attempt = 1; ; attempt += 1) {
    const current = await currentDocument(deps.prisma, factory.id);
    if (typeof demanded === "number" && demanded !== current?.version) {
      throw new Problem("precondition-failed", `The current version is ${current?.version ?? "none"}. Read it again.`);
    }
    const document = Buffer.from(await input.edit(current?.document.toString("utf8") ?? ""), "utf8");
    const requested = requestedBy(request);
    const precondition = current?.version ?? "absent";
    try {
      return await publishVersion(deps, {
        factory,
        caller,
        document,
        precondition,
        ...query,
        dryRun: false,
        requested,
      });
    } catch (error) {
      const changed = error instanceof Problem && error.code === "precondition-failed";
      if (!changed || demanded !== undefined) throw error;
      if (attempt === maxAttempts)
        throw new Problem("conflict", "Others edit this config at the same time. Try again.");
    }
  }
}

const listRegistries = route(
  {
    id: "listRegistries",
    method: "get",
    path: "/v1/factories/{factory}/registries",
    tag: "Registries",
    summary: "The registry entries",
    auth: { permission: "config:read" },
    params: FactoryParams,
    query: PageQuery,
    replies: {
      200: {
        description: "In the order of the document.",
        content: { "application/json": RegistryEntryList },
        headers: etag,
      },
    },
    problems: ["invalid-config"],
  },
  async (deps: Reader, { factory, page }) => {
    const { version, entries } = await currentEntries(deps, factory.id);
    const placed = entries.map((entry, index) => ({ entry, index }));
    const [id, index = "0"] = page.after ?? [];
    // The entry may be gone since: then the next page begins where it stood.
    const found = entries.findIndex((entry) => entry.id === id);
    const rest = placed.slice(found < 0 ? Number(index) : found + 1);
    const body = await pageOf(
      page,
      rest,
      (one) => [one.entry.id, String(one.index)],
      ({ entry }) => viewOfEntry(entry),
    );
    return { status: 200, body, headers: etagOf(version) };
  },
);

const getRegistry = route(
  {
    id: "getRegistry",
    method: "get",
    path: "/v1/factories/{factory}/registries/{id}",
    tag: "Registries",
    summary: "One registry entry",
    auth: { permission: "config:read" },
    params: EntryParams,
    replies: { 200: { description: "The entry.", content: { "application/json": RegistryEntryView }, headers: etag } },
    problems: ["not-found", "invalid-config"],
  },
  async (deps: Reader, { factory, params }) => {
    const { version, entries } = await currentEntries(deps, factory.id);
    const entry = entries.find(({ id }) => id === params.id);
    if (!entry) throw new Problem("not-found", "No registry entry has this id. List them to see which exist.");
    return { status: 200, body: viewOfEntry(entry), headers: etagOf(version) };
  },
);

const addRegistry = route(
  {
    id: "addRegistry",
    method: "post",
    path: "/v1/factories/{factory}/registries",
    tag: "Registries",
    summary: "Add a registry entry",
    description: "It is written into the document after the others; nothing else of the document changes.",
    auth: { permission: "config:write" },
    isCostly: true,
    params: FactoryParams,
    query: PublishQuery,
    body: json(RegistryEntryInput, { maxBytes: 64 * 1024 }),
    replies: { 201: { description: "Added.", content: { "application/json": WrittenEntry }, headers: etag } },
    problems: [...editProblems, "already-exists"],
  },
  async (deps: PublishDeps, { caller, factory, query, body, request }) => {
    const entry = checkedEntry(body);
    const edit = (text: string) => deps.documents.addEntry(factory.id, text, entry);
    const { version, warnings } = await editCurrent(deps, { factory, caller, request, query, edit });
    return {
      status: 201,
      body: { entry: viewOfEntry(entry), configVersion: version, warnings },
      headers: etagOf(version),
    };
  },
);

const putRegistry = route(
  {
    id: "putRegistry",
    method: "put",
    path: "/v1/factories/{factory}/registries/{id}",
    tag: "Registries",
    summary: "Change a registry entry in place",
    description: "Every byte of the document outside the entry stays as it was. A new host gives the entry a new id.",
    auth: { permission: "config:write" },
    isCostly: true,
    params: EntryParams,
    query: PublishQuery,
    body: json(RegistryEntryInput, { maxBytes: 64 * 1024 }),
    replies: { 200: { description: "Changed.", content: { "application/json": WrittenEntry }, headers: etag } },
    problems: [...editProblems, "not-found", "already-exists"],
  },
  async (deps: PublishDeps, { caller, factory, params, query, body, request }) => {
    const entry = checkedEntry(body);
    const edit = (text: string) => deps.documents.replaceEntry(factory.id, text, params.id, entry);
    const { version, warnings } = await editCurrent(deps, { factory, caller, request, query, edit });
    return {
      status: 200,
      body: { entry: viewOfEntry(entry), configVersion: version, warnings },
      headers: etagOf(version),
    };
  },
);

const deleteRegistry = route(
  {
    id: "deleteRegistry",
    method: "delete",
    path: "/v1/factories/{factory}/registries/{id}",
    tag: "Registries",
    summary: "Remove a registry entry",
    auth: { permission: "config:write" },
    isCostly: true,
    params: EntryParams,
    query: PublishQuery,
    replies: { 200: { description: "Removed.", content: { "application/json": WrittenConfig }, headers: etag } },
    problems: [...editProblems, "not-found"],
  },
  async (deps: PublishDeps, { caller, factory, params, query, request }) => {
    const edit = (text: string) => deps.documents.removeEntry(factory.id, text, params.id);
    const { version, unchanged, warnings } = await editCurrent(deps, { factory, caller, request, query, edit });
    return { status: 200, body: { version, unchanged, warnings }, headers: etagOf(version) };
  },
);

export const registryRoutes = [listRegistries, getRegistry, addRegistry, putRegistry, deleteRegistry];
