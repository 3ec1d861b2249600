import type { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryIdParams, FactoryParams, PageQuery } from "../../http/contract.js";
import { lightPage, newestFirst, pageOf } from "../../http/page.js";
import { etag, etagOf, preconditionOf } from "../../http/preconditions.js";
import { json, route } from "../../http/route.js";
import { changeAuthority, createAuthority, type DeviceDeps, removeAuthority } from "./authority-changes.js";
import {
  DeviceAuthority,
  DeviceAuthorityChange,
  DeviceAuthorityDetail,
  DeviceAuthorityList,
  DeviceAuthorityRequest,
  DevicePolicy,
  RevocationListRequest,
  RevocationListView,
} from "./contract.js";
import { readAuthority } from "./read-authority.js";
import { readForLists, replaceRevocationList } from "./replace-revocation-list.js";
import type { RevocationList, RevocationLists } from "./revocation-lists.js";
import { type AuthorityRow, listAuthorities, weighAuthorities } from "./store.js";

type Reader = { prisma: PrismaClient };
type WithLists = { revocationLists: RevocationLists };

const listDeviceAuthorities = route(
  {
    id: "listDeviceAuthorities",
    method: "get",
    path: "/v1/factories/{factory}/device-authorities",
    tag: "Access",
    summary: "List the device authorities of a factory",
    auth: { permission: "access:read" },
    isCostly: true,
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": DeviceAuthorityList } } },
    problems: [],
  },
  async ({ prisma }: Reader, { factory, page: asked }) => {
    const page = lightPage(asked, await weighAuthorities(prisma, { factoryId: factory.id, page: asked }));
    const rows = await listAuthorities(prisma, { factoryId: factory.id, page });
    return { status: 200, body: await pageOf(page, rows, newestFirst, authorityView) };
  },
);

const addDeviceAuthority = route(
  {
    id: "createDeviceAuthority",
    method: "post",
    path: "/v1/factories/{factory}/device-authorities",
    tag: "Access",
    summary: "Register the CA of devices",
    description:
      "Devices whose certificates it signs, with the device's UUID as their one CN and this factory as their one OU, may pull what the policy says.",
    auth: { permission: "access:write" },
    isCostly: true,
    params: FactoryParams,
    body: json(DeviceAuthorityRequest),
    replies: {
      201: { description: "Registered.", content: { "application/json": DeviceAuthority }, headers: etag },
    },
    problems: ["certificate-unsuitable", "already-exists", "limit-reached"],
  },
  async (deps: DeviceDeps, { caller, factory, body, request }) => {
    const row = await createAuthority(deps, { factory, caller, requested: requestedBy(request) }, body);
    return { status: 201, body: authorityView(row), headers: etagOf(row.version) };
  },
);

const getDeviceAuthority = route(
  {
    id: "getDeviceAuthority",
    method: "get",
    path: "/v1/factories/{factory}/device-authorities/{id}",
    tag: "Access",
    summary: "One device authority, with its certificates and revocation lists",
    auth: { permission: "access:read" },
    params: FactoryIdParams,
    replies: {
      200: { description: "The authority.", content: { "application/json": DeviceAuthorityDetail }, headers: etag },
    },
    problems: ["not-found"],
  },
  async (deps: Reader & WithLists, { factory, params }) => {
    const { row, lists } = await readForLists(deps, factory, params.id);
    const { certificates } = row;
    return {
      status: 200,
      body: { ...authorityView(row), certificates, revocationLists: lists.map(revocationListView) },
      headers: etagOf(row.version),
    };
  },
);

const putDeviceAuthority = route(
  {
    id: "replaceDeviceAuthority",
    method: "put",
    path: "/v1/factories/{factory}/device-authorities/{id}",
    tag: "Access",
    summary: "Change the name and the policy of a device authority",
    description: "Both as they shall be. Its devices are held to the new policy at once.",
    auth: { permission: "access:write" },
    isCostly: true,
    params: FactoryIdParams,
    body: json(DeviceAuthorityChange),
    replies: { 200: { description: "Changed.", content: { "application/json": DeviceAuthority }, headers: etag } },
    problems: ["already-exists", "not-found", "precondition-failed"],
  },
  async (deps: DeviceDeps, { caller, factory, params, body, request }) => {
    const change = { factory, caller, requested: requestedBy(request) };
    const target = { id: params.id, precondition: preconditionOf(request) };
    const row = await changeAuthority(deps, change, target, body);
    return { status: 200, body: authorityView(row), headers: etagOf(row.version) };
  },
);

const deleteDeviceAuthority = route(
  {
    id: "deleteDeviceAuthority",
    method: "delete",
    path: "/v1/factories/{factory}/device-authorities/{id}",
    tag: "Access",
    summary: "Withdraw a device authority",
    description: "Its devices are refused from their next request on, on open connections too.",
    auth: { permission: "access:write" },
    params: FactoryIdParams,
    replies: { 204: { description: "Withdrawn." } },
    problems: ["not-found", "precondition-failed"],
  },
  async (deps: DeviceDeps, { caller, factory, params, request }) => {
    const target = { id: params.id, precondition: preconditionOf(request) };
    await removeAuthority(deps, { factory, caller, requested: requestedBy(request) }, target);
    return { status: 204 };
  },
);

const putRevocationList = route(
  {
    id: "replaceRevocationList",
    method: "put",
    path: "/v1/factories/{factory}/device-authorities/{id}/revocation-list",
    tag: "Access",
    summary: "Upload a revocation list",
    description:
      "Takes the place of the one before of the same issuer: the root or an intermediate of this authority, which has signed it. It must be later than that.",
    auth: { permission: "access:write" },
    isCostly: true,
    params: FactoryIdParams,
    body: json(RevocationListRequest),
    replies: { 200: { description: "In force.", content: { "application/json": RevocationListView } } },
    problems: ["certificate-unsuitable", "not-found", "conflict"],
  },
  async (deps: DeviceDeps & WithLists, { caller, factory, params, body, request }) => {
    const change = { factory, caller, requested: requestedBy(request) };
    const list = await replaceRevocationList(deps, change, params.id, body.revocationList);
    return { status: 200, body: revocationListView(list) };
  },
);

export const authorityRoutes = [
  listDeviceAuthorities,
  addDeviceAuthority,
  getDeviceAuthority,
  putDeviceAuthority,
  deleteDeviceAuthority,
  putRevocationList,
];

/**
 * An authority as replies show it.
 * @throws Error when what is stored cannot be read: it could when it was stored
 */
export function authorityView(row: Omit<AuthorityRow, "revocationLists">): z.input<typeof DeviceAuthority> {
  const authority = readAuthority(row.certificates);
  if (!authority) throw new Error("a stored device authority cannot be read");
  const { grants, maxTtlSeconds, allowStaleRevocationLists } = DevicePolicy.parse(row.policy);
  return {
    id: row.id,
    name: row.name,
    fingerprint: authority.root.fingerprint,
    subject: authority.root.subject,
    expiresAt: authority.root.notAfter.toISOString(),
    policy: {
      ...(grants && { grants }),
      ...(maxTtlSeconds !== undefined && { maxTtlSeconds }),
      ...(allowStaleRevocationLists !== undefined && { allowStaleRevocationLists }),
    },
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    createdBy: row.createdByName,
  };
}

export function revocationListView(list: RevocationList): z.input<typeof RevocationListView> {
  return {
    issuer: list.issuer,
    number: list.number.toString(),
    thisUpdate: list.thisUpdate.toISOString(),
    nextUpdate: list.nextUpdate.toISOString(),
    revoked: list.revoked.size,
  };
}
