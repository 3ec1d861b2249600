import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createTestCertificateAuthority, type TestCertificateAuthority } from "../../support/certificates.js";

export type TestServer = { port: number; connections: () => number; close: () => Promise<void> };

let authority: Promise<TestCertificateAuthority> | undefined;

/** One certificate authority for the whole test file. */
export function testAuthority(): Promise<TestCertificateAuthority> {
  authority ??= createTestCertificateAuthority();
  return authority;
}

/** An https server on 127.0.0.1 with a certificate for `hostnames`. */
export async function startTlsServer(
  hostnames: readonly string[],
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestServer> {
  const certificate = await (await testAuthority()).issue(hostnames);
  return listen(createServer(certificate, handler));
}

/** A raw TCP server on 127.0.0.1. */
export function startTcpServer(handler: (socket: Socket) => void): Promise<TestServer> {
  return listen(createTcpServer(handler));
}

/** Makes any server listen on a free port of 127.0.0.1; `close` cuts what is open. */
export async function listen(server: Server): Promise<TestServer> {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on("connection", (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return {
    port: address.port,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
