import type { AuditEvent } from "../../audit/events.js";
import type { AuditWriter } from "../../audit/record.js";
import type { FactoryRef } from "../../core/caller.js";
import { databaseNow } from "../../db/database-clock.js";
import type { RefusalReason } from "./verify-chain.js";

/** Why a device was refused, and by whose authority. `deviceId` and `serial` only where the authority vouches for them. */
export type DeviceRefusal = {
  factory: FactoryRef;
  authority: { id: string; name: string };
  reason: RefusalReason;
  deviceId?: string;
  serial?: string;
};

const windowMs = 60_000;
/** Different refusals of a factory in a window; what exceeds it is counted together. */
const maxRowsOfFactory = 200;

/**
 * Writes each refusal down at once, and its repetitions within a minute as a count: a device that asks again every
 * second must not fill the audit.
 */
export class DeviceRefusals {
  readonly #audit: AuditWriter;
  readonly #onError: (error: unknown) => void;
  #repeated = new Map<string, { refusal: DeviceRefusal; count: number }>();
  #rows = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(deps: { audit: AuditWriter; onError: (error: unknown) => void }) {
    this.#audit = deps.audit;
    this.#onError = deps.onError;
    this.#timer = setInterval(() => void this.flush(), windowMs).unref();
  }

  /** Resolves when the first of its kind is durable. Never throws. */
  async refused(refusal: DeviceRefusal): Promise<void> {
    const { factory, authority, reason, deviceId = "", serial = "" } = refusal;
    const rows = this.#rows.get(factory.id) ?? 0;
    const isOneTooMany = rows >= maxRowsOfFactory;
    const key = [factory.id, authority.id, reason, ...(isOneTooMany ? [] : [deviceId, serial])].join(" ");
    const known = this.#repeated.get(key);
    if (known) {
      known.count += 1;
      return;
    }
    this.#rows.set(factory.id, rows + 1);
    const counted = isOneTooMany ? { factory, authority, reason } : refusal;
    this.#repeated.set(key, { refusal: counted, count: 0 });
    await this.#audit.write(eventOf(counted)).catch(this.#onError);
  }

  /** Writes down the repetitions. Also called at shutdown, so that the last minute is not lost. */
  async flush(): Promise<void> {
    const repeated = [...this.#repeated.values()].filter(({ count }) => count > 0);
    this.#repeated = new Map();
    this.#rows = new Map();
    const writes = repeated.map(({ refusal, count }) => this.#audit.write(eventOf(refusal, count)));
    await Promise.all(writes).catch(this.#onError);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}

function eventOf(refusal: DeviceRefusal, count?: number): AuditEvent {
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
      ...(count && { count }),
    },
  };
}
