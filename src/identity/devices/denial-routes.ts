import type { z } from "zod";
import { requestedBy } from "../../audit/record.js";
import type { PrismaClient } from "../../db/database.js";
import { FactoryIdParams, FactoryParams, PageQuery } from "../../http/contract.js";
import { newestFirst, pageOf } from "../../http/page.js";
import { json, route } from "../../http/route.js";
import type { DeviceDeps } from "./authority-changes.js";
import { DeniedDevice, DeniedDeviceList, DeniedDeviceRequest } from "./contract.js";
import { allowAgain, denyDevice } from "./denial-changes.js";
import { type DenialRow, listDenials } from "./denials.js";

const listDeniedDevices = route(
  {
    id: "listDeniedDevices",
    method: "get",
    path: "/v1/factories/{factory}/denied-devices",
    tag: "Access",
    summary: "List the devices and certificates that a factory denies",
    auth: { permission: "access:read" },
    params: FactoryParams,
    query: PageQuery,
    replies: { 200: { description: "Newest first.", content: { "application/json": DeniedDeviceList } } },
    problems: [],
  },
  async ({ prisma }: { prisma: PrismaClient }, { factory, page }) => {
    const rows = await listDenials(prisma, { factoryId: factory.id, page });
    return { status: 200, body: await pageOf(page, rows, newestFirst, denialView) };
  },
);

const addDeniedDevice = route(
  {
    id: "denyDevice",
    method: "post",
    path: "/v1/factories/{factory}/denied-devices",
    tag: "Access",
    summary: "Deny a device, or one of its certificates",
    description: "It is refused from its next request on, on an open connection too.",
    auth: { permission: "access:write" },
    params: FactoryParams,
    body: json(DeniedDeviceRequest),
    replies: { 201: { description: "Denied.", content: { "application/json": DeniedDevice } } },
    problems: ["already-exists", "limit-reached", "not-found"],
  },
  async (deps: DeviceDeps, { caller, factory, body, request }) => {
    const row = await denyDevice(deps, { factory, caller, requested: requestedBy(request) }, body);
    return { status: 201, body: denialView(row) };
  },
);

const deleteDeniedDevice = route(
  {
    id: "allowDeviceAgain",
    method: "delete",
    path: "/v1/factories/{factory}/denied-devices/{id}",
    tag: "Access",
    summary: "Take a denial back",
    auth: { permission: "access:write" },
    params: FactoryIdParams,
    replies: { 204: { description: "Taken back." } },
    problems: ["not-found"],
  },
  async (deps: DeviceDeps, { caller, factory, params, request }) => {
    await allowAgain(deps, { factory, caller, requested: requestedBy(request) }, params.id);
    return { status: 204 };
  },
);

function denialView(row: DenialRow): z.input<typeof DeniedDevice> {
  return {
    id: row.id,
    ...(row.deviceId !== null && { deviceId: row.deviceId }),
    ...(row.authorityId !== null && { authorityId: row.authorityId }),
    ...(row.serial !== null && { serial: row.serial }),
    ...(row.reason !== null && { reason: row.reason }),
    createdAt: row.createdAt.toISOString(),
    createdBy: row.createdByName,
  };
}

export const denialRoutes = [listDeniedDevices, addDeniedDevice, deleteDeniedDevice];
