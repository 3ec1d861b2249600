import type { Caller } from "../../../core/caller.js";
import { withdrawnCertificate, withdrawnDevice } from "../../../db/withdrawals.js";
import type { Denied } from "./store.js";

/** What `Withdrawals` says when this is denied. */
export function announcedDenial(factoryId: string, denied: Denied): string {
  return "deviceId" in denied
    ? withdrawnDevice(factoryId, denied.deviceId)
    : withdrawnCertificate(denied.authorityId, denied.serial);
}

/** What `Withdrawals` says when this device, or its certificate, is denied. */
export function denialsOf({ id, factory, evidence, authorities = [] }: Caller): string[] {
  if (!factory || !evidence || !("authority" in evidence)) return [];
  const { serial } = evidence;
  return [withdrawnDevice(factory.id, id), ...authorities.map((authority) => withdrawnCertificate(authority, serial))];
}
