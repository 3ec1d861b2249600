import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";

export type ConnectProxy = { url: string; close(): Promise<void> };

/**
 * An HTTP proxy that leads each named host to a port of 127.0.0.1 and no one anywhere else. With it in `HTTPS_PROXY`,
 * programs that know nothing of our `CONNECT_TO` use real host names and verify real certificates for them.
 */
export async function startConnectProxy(portOf: Readonly<Record<string, number>>): Promise<ConnectProxy> {
  const open = new Set<Socket>();
  const server = createServer((_, res) => res.writeHead(405).end());
  server.on("connection", (socket) => remember(open, socket));
  server.on("connect", (req, client, head) => {
    const port = portOf[(req.url ?? "").replace(/:443$/, "")];
    if (port === undefined) {
      client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const upstream = remember(open, connect(port, "127.0.0.1"));
    upstream.once("connect", () => {
      client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      upstream.write(head);
      upstream.pipe(client).pipe(upstream);
    });
    upstream.once("error", () => client.destroy());
    client.once("error", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function remember(open: Set<Socket>, socket: Socket): Socket {
  open.add(socket);
  return socket.once("close", () => open.delete(socket));
}
