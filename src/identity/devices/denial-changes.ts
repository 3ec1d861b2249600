import { randomUUID } from "node:crypto";
import type { z } from "zod";
import type { EventBody } from "../../audit/events.js";
import { actorOf } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import type { Transaction } from "../../db/database.js";
import { authorityToChange, type DeviceChange, type DeviceDeps, writeChange } from "./authority-changes.js";
import { normalSerial } from "./certificate.js";
import { type DeniedDeviceRequest, maxDenials } from "./contract.js";
import { announcedDenial, type DenialRow, type Denied, deleteDenial, denialsLike, insertDenial } from "./denials.js";
import { checkMayLetIn } from "./policy-limits.js";

/**
 * Refuses a device, or one certificate, from its next request on.
 * @throws Problem `not-found` (the authority), `already-exists`, `limit-reached`
 */
export async function denyDevice(
  deps: DeviceDeps,
  change: DeviceChange,
  { reason, ...asked }: z.output<typeof DeniedDeviceRequest>,
): Promise<DenialRow> {
  const { factory, caller } = change;
  const denied = deniedOf(asked);
  const write = async (transaction: Transaction, at: Date) => {
    if ("authorityId" in denied) await authorityToChange(transaction, factory, denied.authorityId);
    const like = await denialsLike(transaction, factory.id, denied);
    if (like.exists) throw new Problem("already-exists", "This is denied already.");
    if (like.count >= maxDenials) {
      throw new Problem(
        "limit-reached",
        `A factory denies at most ${maxDenials} devices. Revoke their certificates by a revocation list instead.`,
      );
    }
    const id = randomUUID();
    const denial = { id, factoryId: factory.id, denied, reason, at, actor: actorOf(caller) };
    const written = await insertDenial(transaction, denial);
    return { written, body: denialEvent("device.denied", written) };
  };
  const row = await writeChange(deps, change, write, false);
  // Other replicas are told by NOTIFY. Whoever asks this one again must not be faster than that.
  deps.withdrawals.observe(announcedDenial(factory.id, denied));
  return row;
}

/**
 * Takes a denial back.
 * @throws Problem `forbidden` (the caller could not let a device in), `not-found`
 */
export async function allowAgain(deps: DeviceDeps, change: DeviceChange, id: string): Promise<void> {
  checkMayLetIn(change.caller);
  const write = async (transaction: Transaction) => {
    const denial = await deleteDenial(transaction, change.factory.id, id);
    if (!denial) throw new Problem("not-found", "There is no such denial. List them to see which exist.");
    return { written: undefined, body: denialEvent("device.allowed-again", denial) };
  };
  // No replica remembers whom it has refused.
  await writeChange(deps, change, write, false);
}

function deniedOf({ deviceId, authorityId, serial }: Omit<z.output<typeof DeniedDeviceRequest>, "reason">): Denied {
  if (deviceId !== undefined) return { deviceId: deviceId.toLowerCase() };
  if (authorityId === undefined || serial === undefined) throw new Error("neither a device nor a serial");
  return { authorityId: authorityId.toLowerCase(), serial: normalSerial(serial) };
}

function denialEvent(
  action: "device.denied" | "device.allowed-again",
  { id, deviceId, serial }: Pick<DenialRow, "id" | "deviceId" | "serial">,
): EventBody {
  return {
    action,
    denialId: id,
    ...(deviceId !== null && { deviceId }),
    ...(serial !== null && { serial }),
  };
}
