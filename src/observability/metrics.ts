import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { RegistryType } from "../factory-config/entry.js";
import type { OutboundCall } from "../outbound/outbound.js";

/** What a request was refused by before anything was done for it, or a connection. */
type Limit =
  | "authentication-failures"
  | "device-handshakes"
  | "token-requests"
  | "session-requests"
  | "costly-requests"
  | "relay-token-requests"
  | "relayed-manifests"
  | "relay-streams"
  | "token-endpoint-failures";

/** Why the thread for documents gave none. */
export type DocumentFailure = "too-slow" | "out-of-memory" | "failed";

/**
 * What the service counts. No label is a name that a tenant chose: hosts and secrets would be without bound. Factories,
 * which operators name, are a label of one metric alone.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #requests: Histogram<"route" | "status">;
  readonly #tokens: Counter<"type" | "cache">;
  readonly #upstream: Histogram<"outcome">;
  readonly #openFailed: Counter;
  readonly #sealingFailed: Counter;
  readonly #authenticationFailed: Counter;
  readonly #limited: Counter<"limit">;
  readonly #documentsFailed: Counter<"reason">;
  readonly #relay: ReturnType<typeof relayCounters>;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    // Gauges that are named like counters, each a sum over another one.
    for (const name of ["resources", "handles", "requests"])
      this.registry.removeSingleMetric(`nodejs_active_${name}_total`);
    this.#requests = new Histogram({
      name: "factory_secrets_http_request_duration_seconds",
      help: "Requests by route and status.",
      labelNames: ["route", "status"],
      // Few: each is a line for every route and status.
      buckets: [0.005, 0.025, 0.1, 0.5, 2.5, 15],
      registers,
    });
    this.#tokens = new Counter({
      name: "factory_secrets_registry_tokens_total",
      help: "Registry tokens handed out, by type of registry and whether they came from the cache.",
      labelNames: ["type", "cache"],
      registers,
    });
    this.#upstream = new Histogram({
      name: "factory_secrets_upstream_request_duration_seconds",
      help: "Calls to clouds and registries, by how they ended.",
      labelNames: ["outcome"],
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    });
    this.#openFailed = new Counter({
      name: "factory_secrets_secret_open_failures_total",
      help: "Ciphertexts that did not open. Anything above zero needs a look at the audit.",
      registers,
    });
    this.#sealingFailed = new Counter({
      name: "factory_secrets_audit_sealing_failures_total",
      help: "Times that the audit began to be not sealed any more. The log says why.",
      registers,
    });
    this.#authenticationFailed = new Counter({
      name: "factory_secrets_authentication_failures_total",
      help: "Requests with no valid credential.",
      registers,
    });
    this.#limited = new Counter({
      name: "factory_secrets_limited_requests_total",
      help: "Requests that were refused because there were too many, by the limit.",
      labelNames: ["limit"],
      registers,
    });
    this.#documentsFailed = new Counter({
      name: "factory_secrets_document_failures_total",
      help: "Configs and revocation lists that took too much time or memory, and ends of the thread that reads them.",
      labelNames: ["reason"],
      registers,
    });
    this.#relay = relayCounters(registers);
  }

  requestAnswered(route: string, status: number, seconds: number): void {
    this.#requests.observe({ route, status }, seconds);
  }

  tokenIssued(type: RegistryType, fromCache: boolean): void {
    this.#tokens.inc({ type, cache: fromCache ? "hit" : "miss" });
  }

  upstreamCalled(call: OutboundCall): void {
    this.#upstream.observe({ outcome: call.outcome }, call.seconds);
  }

  secretOpenFailed(): void {
    this.#openFailed.inc();
  }

  sealingFailed(): void {
    this.#sealingFailed.inc();
  }

  requestLimited(limit: Limit): void {
    this.#limited.inc({ limit });
  }

  documentFailed(reason: DocumentFailure): void {
    this.#documentsFailed.inc({ reason });
  }

  authenticationFailed(): void {
    this.#authenticationFailed.inc();
  }

  blobRelayed(factory: string, { outcome, bytes }: { outcome: string; bytes: number }): void {
    this.#relay.blobs.inc({ outcome });
    if (bytes > 0) this.#relay.bytes.inc({ factory, outcome }, bytes);
  }

  digestWasWrong(of: "blob" | "manifest"): void {
    this.#relay.digestsWrong.inc({ of });
  }

  /** Shows how many blobs the relay is sending. */
  watchRelayStreams(open: () => number): void {
    new Gauge({
      name: "factory_secrets_relay_streams",
      help: "Blobs that the relay is sending just now.",
      registers: [this.registry],
      collect() {
        this.set(open());
      },
    });
  }

  /** Shows how far the clock of this machine is ahead of the database's. */
  watchClock(differenceMs: () => number): void {
    new Gauge({
      name: "factory_secrets_clock_difference_seconds",
      help: "How far the clock of this machine is ahead of the database's. Beyond 30, either way, it is not ready.",
      registers: [this.registry],
      collect() {
        this.set(differenceMs() / 1_000);
      },
    });
  }

  /** Shows how far the sealer is behind. A database that is away shows nothing. */
  watchAuditSealing(backlog: () => Promise<number | undefined>): void {
    new Gauge({
      name: "factory_secrets_audit_unsealed_events",
      help: "Events of the audit that are not in a log yet; 100000 means as many or more.",
      registers: [this.registry],
      async collect() {
        const events = await backlog().catch(() => undefined);
        this.remove();
        if (events !== undefined) this.set(events);
      },
    });
  }

  /** Shows how far each outside place of the audit is behind. A database that is away shows none. */
  watchAuditShipping(lag: () => Promise<readonly { target: string; events: number }[]>): void {
    new Gauge({
      name: "factory_secrets_audit_shipping_lag_events",
      help: "Sealed events and checkpoints of the audit that an outside place has not got yet, by its kind and its place in the setting.",
      labelNames: ["target"],
      registers: [this.registry],
      async collect() {
        this.reset();
        for (const { target, events } of await lag().catch(() => [])) this.set({ target }, events);
      },
    });
  }
}

function relayCounters(registers: Registry[]) {
  return {
    bytes: new Counter({
      name: "factory_secrets_relay_bytes_total",
      help: "Bytes of blobs that the relay sent, by factory and how the blob ended.",
      labelNames: ["factory", "outcome"],
      registers,
    }),
    blobs: new Counter({
      name: "factory_secrets_relay_blobs_total",
      help: "Blobs that the relay was asked for, by how they ended. Most registries are asked for a redirect.",
      labelNames: ["outcome"],
      registers,
    }),
    digestsWrong: new Counter({
      name: "factory_secrets_relay_wrong_digests_total",
      help: "Blobs and manifests that were not what their digest says, and were cut off. Above zero: see the audit.",
      labelNames: ["of"],
      registers,
    }),
  };
}
