import type { RepeatableEvent } from "../../audit/counted-events.js";
import type { AuditWriter } from "../../audit/record.js";
import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import type { RefusalReason } from "./verify-chain.js";

/** Why a device was refused, and by whose authority. `deviceId` and `serial` only where the authority vouches for them. */
export type DeviceRefusal = {
  factory: FactoryRef;
  authority: { id: string; name: string };
  reason: RefusalReason;
  deviceId?: string;
  serial?: string;
};

/** Different refusals of a factory in a minute; those beyond are counted by authority and reason. */
const maxOfFactory = 200;

/**
 * Writes each refusal down at once, and its repetitions within a minute as a count: a device that asks again every
 * second must not fill the audit. Resolves when the first of its kind is durable.
 */
export function recordDeviceRefusal(audit: AuditWriter, refusal: DeviceRefusal): Promise<void> {
  const { factory, authority, reason, deviceId = "", serial = "" } = refusal;
  return audit.writeCounted(
    { key: [authority.id, reason, deviceId, serial], event: eventOf(refusal) },
    { key: [authority.id, reason], event: eventOf({ factory, authority, reason }), maxOfFactory },
  );
}

function eventOf(refusal: DeviceRefusal): RepeatableEvent {
  const { factory, authority, reason, deviceId, serial } = refusal;
  return {
    at: databaseNow(),
    outcome: "refused",
    actor: deviceId ? { kind: "device", id: deviceId, name: deviceId } : { kind: "unknown", id: "", name: "" },
    factory,
    body: {
      action: "device.refused",
      reason,
      authority,
      ...(deviceId && { deviceId }),
      ...(serial && { serial }),
    },
  };
}
