import { databaseNow } from "../core/database-clock.js";
import type { AuditEvent, EventBody } from "./events.js";
import type { AuditWriter } from "./record.js";

const windowMs = 60_000;
/** Kinds of events in a window, of the whole process. */
const maxKinds = 10_000;

/** Events that a caller can cause as often as it likes. Each therefore can have a `count`. */
type RepeatableBody = Extract<
  EventBody,
  {
    action:
      | "request.refused"
      | "device.refused"
      | "workload.refused"
      | "secret.open-failed"
      | "image.digest-wrong"
      | "registry-token.failed"
      | "aws-credentials.failed"
      | "image.looked-up";
  }
>;

export type RepeatableEvent = Omit<AuditEvent, "body"> & { body: RepeatableBody };

/** An event and what makes it the same as another, such as the caller, the route and the code. */
export type Kind = {
  key: readonly string[];
  event: RepeatableEvent;
  /** What its repetitions have in common, where that is less than the event. */
  repeated?: RepeatableEvent;
};

/** Where kinds beyond a bound are counted. `maxOfFactory` is the bound for one factory and action. */
export type Others = Kind & { maxOfFactory: number };

type Repeated = { event: RepeatableEvent; first: Promise<void>; count: number };

/**
 * Writes the first event of each kind in a minute at once, and its repetitions in that minute as one event with a
 * `count`: at most two rows for each kind and minute. Memory is bounded as well.
 */
export class RepeatedEvents {
  readonly #write: (event: AuditEvent) => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #kinds = new Map<string, Repeated>();
  #kindsOfFactory = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: { write: (event: AuditEvent) => Promise<void>; onError: (error: unknown) => void }) {
    this.#write = deps.write;
    this.#onError = deps.onError;
  }

  /**
   * Resolves when the first event of this kind is durable.
   * @throws what the write throws; the next event of the kind is then written at once
   */
  record(kind: Kind, others: Others): Promise<void> {
    const key = keyOf(kind);
    const known = this.#kinds.get(key);
    if (known) return repeat(known, kind.event);
    const scope = scopeOf(kind.event);
    const ofFactory = this.#kindsOfFactory.get(scope) ?? 0;
    if (ofFactory < others.maxOfFactory && this.#kinds.size < maxKinds) {
      this.#kindsOfFactory.set(scope, ofFactory + 1);
      return this.#first(key, kind);
    }
    const othersKey = `others ${keyOf(others)}`;
    const counted = this.#kinds.get(othersKey);
    return counted ? repeat(counted, others.event) : this.#first(othersKey, others);
  }

  /** Writes down the repetitions. A count that cannot be written is kept for the next time. Never throws. */
  async flush(): Promise<void> {
    const kinds = this.#kinds;
    this.#kinds = new Map();
    this.#kindsOfFactory = new Map();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const writes = [...kinds].map(async ([key, repeated]) => {
      const { event, count } = repeated;
      if (count === 0) return;
      await this.#write({ ...event, body: { ...event.body, count } }).catch((error: unknown) => {
        this.#keep(key, repeated);
        this.#onError(error);
      });
    });
    await Promise.all(writes);
  }

  #first(key: string, { event, repeated: inCommon = event }: Kind): Promise<void> {
    const first = this.#write(event).catch((error: unknown) => {
      if (this.#kinds.get(key)?.first === first) this.#kinds.delete(key);
      throw error;
    });
    const { requestId: _ofFirst, clientRequestId: _ofFirstToo, ...repeated } = inCommon;
    this.#kinds.set(key, { event: repeated, first, count: 0 });
    this.#startTimer();
    return first;
  }

  #keep(key: string, repeated: Repeated): void {
    const now = this.#kinds.get(key);
    if (now) now.count += repeated.count;
    else this.#kinds.set(key, { ...repeated, first: Promise.resolve() });
    this.#startTimer();
  }

  #startTimer(): void {
    this.#timer ??= setTimeout(() => void this.flush(), windowMs).unref();
  }
}

function repeat(known: Repeated, { at, address }: RepeatableEvent): Promise<void> {
  known.count += 1;
  const { address: before, ...event } = known.event;
  // The event with the count has an address only if all repetitions came from there.
  known.event = { ...event, at, ...(before !== undefined && before === address && { address }) };
  return known.first;
}

const scopeOf = ({ factory, body }: RepeatableEvent): string => `${factory?.id ?? ""} ${body.action}`;

const keyOf = ({ key, event }: Kind): string => JSON.stringify([scopeOf(event), ...key]);

/** A flood from many addresses must not become a flood of memory; what exceeds it is counted together. */
const maxAddresses = 10_000;
const others = "others";

/**
 * Counts the refusals of callers who have no valid credential: one audit row for each address and minute, so that a
 * flood of bad tokens costs its sender more than it costs us.
 */
export class UnknownCallers {
  readonly #audit: Pick<AuditWriter, "write">;
  readonly #onError: (error: unknown) => void;
  #counts = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(deps: { audit: Pick<AuditWriter, "write">; onError: (error: unknown) => void }) {
    this.#audit = deps.audit;
    this.#onError = deps.onError;
    this.#timer = setInterval(() => void this.flush(), windowMs).unref();
  }

  refused(address: string): void {
    this.#add(address, 1);
  }

  #add(address: string, count: number): void {
    const key = this.#counts.has(address) || this.#counts.size < maxAddresses ? address : others;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
  }

  /**
   * Writes down what was counted. Also called at shutdown, so that the last minute is not lost. A count that cannot be
   * written is kept for the next time.
   */
  async flush(): Promise<void> {
    const counts = this.#counts;
    this.#counts = new Map();
    const at = databaseNow();
    const rows = [...counts].map(([address, count]) =>
      this.#audit
        .write({
          at,
          outcome: "refused",
          actor: { kind: "unknown", id: "", name: "" },
          address,
          body: { action: "authentication.refused", count },
        })
        .catch((error: unknown) => {
          this.#add(address, count);
          this.#onError(error);
        }),
    );
    await Promise.all(rows);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}
