import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { createSecureContext, rootCertificates, type SecureContext, type TLSSocket } from "node:tls";
import type { buildConnector } from "undici";
import { type AddressRange, isInRanges, isNeverAllowedAddress, refusalOfAddress } from "./addresses.js";
import { type ConnectToRule, type HostAndPort, hostAndPortKey, normaliseHost } from "./connect-to.js";
import { destinationRefused, upstreamTimeout } from "./failures.js";
import { openTunnel, type ProxySettings } from "./proxy.js";
import { openPinnedSocket, type ResolvedAddress, secureSocket } from "./sockets.js";

/** Resolves a host name to all its addresses. */
export type ResolveHost = (hostname: string) => Promise<readonly ResolvedAddress[]>;

export type DialerSettings = {
  connectTo: readonly ConnectToRule[];
  allowAddresses: readonly AddressRange[];
  /** Further certificate authorities, PEM, besides those of Node. */
  caCertificates: readonly string[];
  proxy: ProxySettings | undefined;
  /** For resolving, connecting and all TLS handshakes together. */
  connectTimeoutMs: number;
};

export type Dialer = {
  /** Gives a `Problem` (`destination-refused`, `upstream-unreachable`, `upstream-timeout`) or the socket's error. */
  connect: buildConnector.connector;
  /**
   * Judges a host as a call to it would, without connecting: for an address that someone else is told to call.
   * @throws Problem `destination-refused`, `upstream-timeout`, or the resolver's error
   */
  judge(wanted: HostAndPort): Promise<void>;
};

/**
 * The one place that opens outbound connections. A host name is resolved once, each address is judged, and the
 * connection is made to an address of that very list: no second lookup happens that could give another answer
 * (DNS rebinding). TLS is verified for the host that was asked for, wherever the connection goes.
 */
export function createDialer(settings: DialerSettings, deps: { resolve: ResolveHost }): Dialer {
  const connectTo = new Map(settings.connectTo.map((rule) => [hostAndPortKey(rule.from), rule.to]));
  const { proxy, allowAddresses } = settings;
  let secureContext: SecureContext | undefined;

  // Parsing the root certificates takes milliseconds: once, not for each connection.
  function trust(): SecureContext | undefined {
    if (settings.caCertificates.length === 0) return undefined;
    secureContext ??= createSecureContext({ ca: [...rootCertificates, ...settings.caCertificates] });
    return secureContext;
  }

  async function permittedAddresses(wanted: HostAndPort, signal: AbortSignal) {
    const mapped = connectTo.get(hostAndPortKey(wanted));
    const target = mapped ?? wanted;
    const addresses = await unlessAborted(resolveHost(target.host, deps.resolve), signal);
    const permitted = addresses.filter(({ address }) =>
      mapped === undefined
        ? refusalOf(wanted.host, address, allowAddresses) === undefined
        : !isNeverAllowedAddress(address),
    );
    const [first] = permitted;
    if (first === undefined)
      throw destinationRefused(wanted.host, describeRefusal(wanted.host, addresses, allowAddresses));
    return { target, first, permitted };
  }

  async function dial(wanted: HostAndPort, signal: AbortSignal): Promise<TLSSocket> {
    const { target, first, permitted } = await permittedAddresses(wanted, signal);
    const socket =
      proxy === undefined
        ? await openPinnedSocket(target, permitted, signal)
        : await openTunnel(proxy, { host: first.address, port: target.port }, { signal, secureContext: trust() });
    return secureSocket(socket, wanted.host, trust(), signal);
  }

  async function judge(wanted: HostAndPort): Promise<void> {
    const signal = AbortSignal.timeout(settings.connectTimeoutMs);
    try {
      await permittedAddresses(wanted, signal);
    } catch (error) {
      throw signal.aborted ? upstreamTimeout(wanted.host, settings.connectTimeoutMs) : error;
    }
  }

  const connect: Dialer["connect"] = (options, callback) => {
    const wanted = { host: normaliseHost(options.hostname), port: Number(options.port || 443) };
    const signal = AbortSignal.timeout(settings.connectTimeoutMs);
    dial(wanted, signal).then(
      (socket) => callback(null, socket),
      (error: unknown) =>
        callback(signal.aborted ? upstreamTimeout(wanted.host, settings.connectTimeoutMs) : asError(error), null),
    );
  };

  return { connect, judge };
}

/** The system's resolver: `/etc/hosts` and DNS, as every other program on the machine. */
export async function resolveWithSystem(hostname: string): Promise<readonly ResolvedAddress[]> {
  return lookup(hostname, { all: true, verbatim: true });
}

async function resolveHost(host: string, resolve: ResolveHost): Promise<readonly ResolvedAddress[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  const addresses = await resolve(host);
  // IPv4 first: networks without IPv6 are common, and a proxy is asked for one address only.
  return [...addresses].sort((a, b) => a.family - b.family);
}

// A host written as an address is called only where the operator named it: cloud registries have names, and their
// certificates are for those, so anyone who writes an address mistyped or probes.
function refusalOf(wantedHost: string, address: string, allowed: readonly AddressRange[]): string | undefined {
  const refusal = refusalOfAddress(address, allowed);
  if (refusal !== undefined || isIP(wantedHost) === 0 || isInRanges(address, allowed)) return refusal;
  return "is written as an address instead of a name";
}

function describeRefusal(
  host: string,
  addresses: readonly ResolvedAddress[],
  allowed: readonly AddressRange[],
): string {
  const [first] = addresses;
  if (first === undefined) return "resolves to no address";
  return `${first.address} ${refusalOf(host, first.address, allowed) ?? "is a link-local or metadata address"}`;
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(asError(signal.reason)), { once: true });
    work.then(resolve, reject);
  });
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error("The connection failed.", { cause: error });
}
