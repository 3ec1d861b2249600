import type { Server } from "node:http";
import { Socket } from "node:net";

/** A handshake that may begin. `release`: to be called when its client is known or gone, where that is counted. */
export type Begun = { release?: () => void };

/** Who may begin a TLS handshake in which clients show certificates. */
export type HandshakeGuard = {
  begin(address: string): Begun | undefined;
  /** Whether the client of this secure connection was accepted before. */
  isKnown(socket: Socket): boolean;
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
  const opening = new Map<string, { socket: Socket; begun: Begun }>();
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    const { remoteAddress: address = "" } = socket;
    const begun = guard.begin(address);
    if (!begun) return closeLater(socket);
    const key = keyOf(socket);
    opening.set(key, { socket, begun });
    socket.once("close", () => {
      begun.release?.();
      if (opening.delete(key) && socket.bytesRead > maxHandshakeBytes) guard.overlong(address);
    });
    for (const begin of begins) Reflect.apply(begin, server, [socket]);
  });
  server.prependListener("secureConnection", (socket: unknown) => {
    if (!(socket instanceof Socket)) return;
    const key = keyOf(socket);
    const { socket: plain, begun } = opening.get(key) ?? {};
    opening.delete(key);
    // The secure socket does not count what came before it was one.
    if (plain && plain.bytesRead > maxHandshakeBytes) {
      guard.overlong(socket.remoteAddress ?? "");
      socket.destroy();
    } else if (begun?.release && guard.isKnown(socket)) begun.release();
  });
}

const keyOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

function closeLater(socket: Socket): void {
  socket.on("error", () => undefined);
  socket.pause();
  setTimeout(() => socket.destroy(), refusalDelayMs);
}
