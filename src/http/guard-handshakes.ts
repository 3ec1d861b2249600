import type { Server } from "node:http";
import { Socket } from "node:net";

/** Who may begin a TLS handshake in which clients show certificates. */
export type HandshakeGuard = {
  mayBegin(address: string): boolean;
  /** Is told of a client that has sent more than a handshake takes. */
  overlong(address: string): void;
};

/**
 * Room for eight certificates of the usual size and all else that a client sends. OpenSSL verifies whatever chain it is
 * shown before anybody is asked what it is worth, and blocks the process for 1 to 2 ms a certificate: it takes 100 KiB of
 * them, which is a quarter of a second, for 5 ms of the sender's.
 */
export const maxHandshakeBytes = 16 * 1024;

const refusalDelayMs = 1_000;

/**
 * Puts a guard in front of the handshakes of a TLS server. A connection that may not begin one is held for a second and
 * closed without a word: that costs a socket, where a handshake costs as much as its sender spends on it.
 */
export function guardHandshakes(server: Server, guard: HandshakeGuard): void {
  const begins = server.listeners("connection");
  // Until they are secure. What follows is not the handshake's.
  const opening = new Map<string, Socket>();
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const { remoteAddress: address = "" } = socket;
    if (!guard.mayBegin(address)) return closeLater(socket);
    const key = keyOf(socket);
    opening.set(key, socket);
    socket.once("close", () => {
      if (opening.delete(key) && socket.bytesRead > maxHandshakeBytes) guard.overlong(address);
    });
    for (const begin of begins) Reflect.apply(begin, server, [socket]);
  });
  server.prependListener("secureConnection", (socket: unknown) => {
    if (!(socket instanceof Socket)) return;
    const key = keyOf(socket);
    // The secure socket does not count what came before it was one.
    const bytes = opening.get(key)?.bytesRead ?? 0;
    opening.delete(key);
    if (bytes <= maxHandshakeBytes) return;
    guard.overlong(socket.remoteAddress ?? "");
    socket.destroy();
  });
}

const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

function closeLater(socket: Socket): void {
  socket.on("error", () => undefined);
  socket.pause();
  setTimeout(() => socket.destroy(), refusalDelayMs);
}
