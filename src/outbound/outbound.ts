import type { Readable } from "node:stream";
import { Agent, request as undiciRequest } from "undici";
import { Problem } from "../core/problem.js";
import type { AddressRange } from "./addresses.js";
import { type CircuitPermit, type CircuitSettings, type Circuits, createCircuits } from "./circuit.js";
import { type ConnectToRule, type HostAndPort, hostAndPortKey, normaliseHost } from "./connect-to.js";
import { createDialer, type Dialer, type ResolveHost, resolveWithSystem } from "./dialer.js";
import { transportProblem, upstreamTimeout } from "./failures.js";
import type { ProxySettings } from "./proxy.js";

export type OutboundSettings = {
  connectTo: readonly ConnectToRule[];
  allowAddresses: readonly AddressRange[];
  /** Further certificate authorities, PEM, from FACTORY_SECRETS_CA_FILE. */
  caCertificates: readonly string[];
  proxy: ProxySettings | undefined;
  /** For a whole call, from the name lookup to the last byte of the reply. */
  totalTimeoutMs: number;
  /** From the name lookup to the headers of a reply whose body is read as it comes. */
  headersTimeoutMs: number;
  /** For the connection alone. */
  connectTimeoutMs: number;
  circuit: CircuitSettings;
};

/** What holds unless the operator or a test says otherwise: 5 s a call, a pause after five failures in a row. */
export const outboundDefaults = {
  connectTo: [],
  allowAddresses: [],
  caCertificates: [],
  proxy: undefined,
  totalTimeoutMs: 5_000,
  // A registry may have to fetch a blob from its own storage first.
  headersTimeoutMs: 15_000,
  connectTimeoutMs: 4_000,
  circuit: { failureLimit: 5, pauseMs: 10_000, maxPauseMs: 60_000 },
} as const satisfies OutboundSettings;

export type OutboundRequest = {
  url: string | URL;
  method?: "GET" | "POST";
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
  /** Aborts the call; `request` then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Of the reply's body; 64 KiB unless told. */
  maxBytes?: number;
};

/** A reply of any status but a redirect. Header names are in lower case; a header sent twice has two values. */
export type OutboundReply = {
  status: number;
  headers: Readonly<Record<string, readonly string[]>>;
  body: Buffer;
};

/** A call whose reply is read as it comes, of any length. */
export type OpenRequest = {
  url: string | URL;
  method: "GET" | "HEAD";
  headers: Readonly<Record<string, string>>;
  /** Cuts the call, also while its body is read. */
  signal: AbortSignal;
};

/** The beginning of a reply of any status, redirects too. The body must be read or destroyed. */
export type OpenReply = Omit<OutboundReply, "body"> & { url: URL; body: Readable };

/** One call that ended, for metrics. `host` is `host:port` as asked for; tenants name it, so it is not a metric label. */
export type OutboundCall = {
  host: string;
  outcome: "answered" | "server-error" | "timeout" | "unreachable" | "invalid" | "refused" | "circuit-open" | "aborted";
  seconds: number;
};

export type OutboundDeps = {
  resolve?: ResolveHost;
  nowMs?: () => number;
  observe?: (call: OutboundCall) => void;
};

/** Calls to hosts that users name, guarded. */
export type Outbound = {
  /**
   * Makes one https call. Redirects are not followed.
   * @throws Problem `destination-refused`, `upstream-unreachable`, `upstream-timeout`, `upstream-invalid`,
   * `upstream-circuit-open`; or the reason of `signal`.
   */
  request(request: OutboundRequest): Promise<OutboundReply>;
  /**
   * Makes one https call and gives its reply once the headers are there, at most `headersTimeoutMs` later. Nothing bounds
   * how long the body takes. Redirects are not followed.
   * @throws as `request` does
   */
  open(request: OpenRequest): Promise<OpenReply>;
  /**
   * Judges a URL as a call to it would, without calling: https, no user in it, and a host that leads to a public address
   * or one that the operator allows.
   * @throws Problem `destination-refused`, `upstream-unreachable` when the host has no address, `upstream-timeout`
   */
  judge(url: string | URL): Promise<URL>;
  /** The settings in force that change where calls go, one sentence each; to be logged at start. Never a credential. */
  describe(): readonly string[];
  /** Closes idle connections and cuts the others. */
  close(): Promise<void>;
};

const defaultMaxBytes = 64 * 1024;

/** Makes the one guarded way out of the service (see `createDialer` for what is checked). */
export function createOutbound(settings: OutboundSettings, deps: OutboundDeps = {}): Outbound {
  const nowMs = deps.nowMs ?? (() => performance.now());
  const calling = { circuits: createCircuits(settings.circuit, { nowMs }), nowMs, observe: deps.observe };
  const dialer = createDialer(settings, { resolve: deps.resolve ?? resolveWithSystem });
  // Bounds what a burst of cold tokens, or of tenants with hosts of their own, can hold open.
  const agent = createAgent(dialer, 16);
  // Bodies that take minutes must not keep tokens from being minted, so they have connections of their own. Their number
  // is bounded by who opens them.
  const openAgent = createAgent(dialer, null);

  return {
    request: async (wanted) => {
      const url = checkedUrl(wanted.url);
      const call = { url, timeoutMs: settings.totalTimeoutMs, callerSignal: wanted.signal };
      return guarded(calling, call, (signal) => send(agent, url, wanted, signal));
    },
    open: async (wanted) => {
      const url = checkedUrl(wanted.url);
      const call = { url, timeoutMs: settings.headersTimeoutMs, callerSignal: wanted.signal };
      return guarded(calling, call, (signal) => begin(openAgent, url, wanted, signal));
    },
    judge: async (wanted) => {
      const url = checkedUrl(wanted);
      await dialer.judge(hostAndPortOf(url)).catch((error: unknown) => {
        throw transportProblem(url.hostname, error);
      });
      return url;
    },
    describe: () => describeOutbound(settings),
    close: async () => void (await Promise.all([agent.destroy(), openAgent.destroy()])),
  };
}

type Calling = { circuits: Circuits; nowMs: () => number; observe: OutboundDeps["observe"] };

/** Makes one call within `timeoutMs`, and tells the circuit and the metrics how it ended. */
async function guarded<R extends { status: number }>(
  { circuits, nowMs, observe }: Calling,
  { url, timeoutMs, callerSignal }: { url: URL; timeoutMs: number; callerSignal: AbortSignal | undefined },
  make: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const host = hostAndPortKey(hostAndPortOf(url));
  const startedMs = nowMs();
  const finish = (outcome: OutboundCall["outcome"]) =>
    observe?.({ host, outcome, seconds: (nowMs() - startedMs) / 1_000 });
  const permit = enterCircuit(circuits, host, finish);
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  try {
    const signals = [timeout.signal, ...(callerSignal === undefined ? [] : [callerSignal])];
    const reply = await make(AbortSignal.any(signals));
    const isFailing = reply.status >= 500;
    if (isFailing) permit.failed(`It answered ${reply.status}.`);
    else permit.succeeded();
    finish(isFailing ? "server-error" : "answered");
    return reply;
  } catch (error) {
    if (callerSignal?.aborted === true) {
      permit.cancelled();
      finish("aborted");
      throw callerSignal.reason;
    }
    const problem = timeout.signal.aborted
      ? upstreamTimeout(url.hostname, timeoutMs)
      : transportProblem(url.hostname, error);
    finish(settle(permit, problem));
    throw problem;
  } finally {
    clearTimeout(timer);
  }
}

function createAgent({ connect }: Dialer, connections: number | null): Agent {
  return new Agent({
    connect,
    connections,
    maxOrigins: 1_000,
    keepAliveTimeout: 4_000,
    keepAliveMaxTimeout: 10_000,
    maxHeaderSize: 16 * 1024,
  });
}

const hostAndPortOf = (url: URL): HostAndPort => ({
  host: normaliseHost(url.hostname),
  port: Number(url.port || 443),
});

function enterCircuit(
  circuits: Circuits,
  host: string,
  finish: (outcome: OutboundCall["outcome"]) => void,
): CircuitPermit {
  try {
    return circuits.enter(host);
  } catch (error) {
    finish("circuit-open");
    throw error;
  }
}

function checkedUrl(url: string | URL): URL {
  if (!URL.canParse(String(url)))
    throw new Problem("destination-refused", "The registry named an address that is not a URL.");
  const checked = new URL(url);
  if (checked.protocol !== "https:") {
    throw new Problem("destination-refused", `${checked.hostname} may not be called: only https is spoken.`);
  }
  if (checked.username !== "" || checked.password !== "") {
    throw new Problem(
      "destination-refused",
      `${checked.hostname} may not be called with a user or password in the URL.`,
    );
  }
  // TLS and the pool know the host without the root's dot.
  checked.hostname = checked.hostname.replace(/\.$/, "");
  return checked;
}

async function send(agent: Agent, url: URL, wanted: OutboundRequest, signal: AbortSignal): Promise<OutboundReply> {
  const reply = await undiciRequest(url, {
    dispatcher: agent,
    method: wanted.method ?? "GET",
    headers: { accept: "application/json", "user-agent": "factory-secrets", ...wanted.headers },
    ...(wanted.body === undefined ? {} : { body: wanted.body }),
    signal,
  });
  if (reply.statusCode >= 300 && reply.statusCode <= 399) {
    // Its body is not read: anyone who redirects us has nothing else to say.
    reply.body.on("error", () => undefined).destroy();
    throw new Problem("upstream-invalid", `${url.hostname} answered with a redirect. Redirects are not followed.`);
  }
  return {
    status: reply.statusCode,
    headers: headerLists(reply.headers),
    body: await readBounded(reply.body, url.hostname, wanted.maxBytes ?? defaultMaxBytes),
  };
}

/** Begins a call. The signal cuts the body too, so what bounds the wait for the headers must end with them. */
async function begin(agent: Agent, url: URL, wanted: OpenRequest, signal: AbortSignal): Promise<OpenReply> {
  const reply = await undiciRequest(url, {
    dispatcher: agent,
    method: wanted.method,
    // A compressed body would have another length and digest than the one that was asked for.
    headers: { "user-agent": "factory-secrets", "accept-encoding": "identity", ...wanted.headers },
    // Anyone who reads the body knows how long it may stand still.
    bodyTimeout: 0,
    signal,
  });
  return { status: reply.statusCode, headers: headerLists(reply.headers), url, body: reply.body };
}

async function readBounded(body: AsyncIterable<Buffer>, host: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  // Leaving the loop destroys the stream and with it the connection.
  for await (const chunk of body) {
    total += chunk.length;
    if (total > maxBytes) {
      throw new Problem(
        "upstream-invalid",
        `${host} answered with more than ${maxBytes} bytes, far more than a token takes.`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, total);
}

function headerLists(headers: Readonly<Record<string, string | string[] | undefined>>): OutboundReply["headers"] {
  const lists: Record<string, readonly string[]> = Object.create(null);
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) lists[name] = typeof value === "string" ? [value] : value;
  }
  return lists;
}

// Only what says that the upstream is unwell counts: a refusal of ours, or a reply too long, does not.
function settle(permit: CircuitPermit, problem: Problem): OutboundCall["outcome"] {
  switch (problem.code) {
    case "upstream-timeout":
      permit.failed(problem.message);
      return "timeout";
    case "upstream-unreachable":
      permit.failed(problem.message);
      return "unreachable";
    case "upstream-invalid":
      permit.succeeded();
      return "invalid";
    default:
      permit.cancelled();
      return "refused";
  }
}

/** The settings that change where calls go, one sentence each. The proxy's password is not among them. */
export function describeOutbound(settings: {
  connectTo: readonly ConnectToRule[];
  allowAddresses: readonly AddressRange[];
  caCertificates: readonly string[];
  proxy: ProxySettings | undefined;
}): readonly string[] {
  const { connectTo, allowAddresses, caCertificates, proxy } = settings;
  const sentences = connectTo.map(
    ({ from, to }) =>
      `FACTORY_SECRETS_CONNECT_TO: calls to ${hostAndPortKey(from)} go to ${hostAndPortKey(to)}; TLS is verified for ${from.host}.`,
  );
  if (allowAddresses.length > 0) {
    const ranges = allowAddresses.map((range) => range.text).join(", ");
    sentences.push(`FACTORY_SECRETS_ALLOW_ADDRESSES: hosts may resolve into ${ranges}.`);
  }
  if (caCertificates.length > 0) {
    sentences.push(`FACTORY_SECRETS_CA_FILE: ${caCertificates.length} further certificate authorities are trusted.`);
  }
  if (proxy !== undefined) {
    const scheme = proxy.secure ? "https" : "http";
    sentences.push(
      `FACTORY_SECRETS_HTTPS_PROXY: outbound calls go through ${scheme}://${hostAndPortKey(proxy)}, by address.`,
    );
  }
  return sentences;
}
