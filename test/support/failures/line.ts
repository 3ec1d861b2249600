import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A way to a server that can be trouble. */
export type Line = {
  port: number;
  /** Cuts every connection that is open. */
  cut(): void;
  /** From now on nothing that is sent arrives, on old connections and new ones; no one is told. */
  stall(): void;
  /** What was held back arrives. */
  resume(): void;
  close(): void;
};

/**
 * A TCP proxy on a port of 127.0.0.1, to a port there that is asked for at each connection.
 * @param delayMs - how long everything takes in each direction
 */
export async function openLine(portOfTarget: () => number, delayMs = 0): Promise<Line> {
  const sockets = new Set<Socket>();
  let stalled = false;
  const server = createServer((near) => {
    const far = connect({ port: portOfTarget(), host: "127.0.0.1" });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      if (delayMs === 0) socket.pipe(other);
      else socket.on("data", (chunk) => setTimeout(() => other.write(chunk), delayMs));
      if (stalled) socket.pause();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the line has no port");
  return {
    port: address.port,
    cut() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    stall() {
      stalled = true;
      for (const socket of sockets) socket.pause();
    },
    resume() {
      stalled = false;
      for (const socket of sockets) socket.resume();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
