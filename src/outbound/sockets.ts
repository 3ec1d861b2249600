import { connect as connectTcp, isIP, type LookupFunction, type Socket } from "node:net";
import { checkServerIdentity, connect as connectTls, type SecureContext, type TLSSocket } from "node:tls";
import type { HostAndPort } from "./connect-to.js";

export type ResolvedAddress = { address: string; family: number };

/**
 * Opens a TCP connection to one of `addresses`, tried as in RFC 8305, and to no other: the lookup that Node would make
 * is answered with this list. Rejects with the socket's error, or with the signal's reason.
 */
export function openPinnedSocket(
  target: HostAndPort,
  addresses: readonly ResolvedAddress[],
  signal: AbortSignal,
): Promise<Socket> {
  const pinned: LookupFunction = (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? "", first?.family);
  };
  const socket = connectTcp({
    host: target.host,
    port: target.port,
    lookup: pinned,
    autoSelectFamily: true,
    noDelay: true,
  });
  return whenReady(socket, "connect", signal);
}

/** Speaks TLS over `socket` and verifies the certificate for `host`, wherever the socket leads. */
export function secureSocket(
  socket: Socket,
  host: string,
  secureContext: SecureContext | undefined,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const tlsSocket = connectTls({
    socket,
    // RFC 6066: an address is not sent as server name. The identity is checked all the same.
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(secureContext === undefined ? {} : { secureContext }),
    ALPNProtocols: ["http/1.1"],
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
  });
  return whenReady(tlsSocket, "secureConnect", signal);
}

function whenReady<S extends Socket>(socket: S, event: "connect" | "secureConnect", signal: AbortSignal): Promise<S> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      signal.removeEventListener("abort", abort);
      socket.removeListener("close", closed);
      socket.destroy();
      reject(error);
    };
    const abort = () => fail(new Error("The connection took too long."));
    const closed = () => fail(new Error("The connection was closed during the handshake."));
    // This listener stays: an error between here and the next owner's listener must not end the process.
    socket.on("error", fail);
    socket.once("close", closed);
    socket.once(event, () => {
      signal.removeEventListener("abort", abort);
      socket.removeListener("close", closed);
      resolve(socket);
    });
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
  });
}
