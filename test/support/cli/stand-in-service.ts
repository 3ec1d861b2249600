import { createServer, type RequestListener, type Server } from "node:http";

/** Has a server listen on a free port of this machine. */
export async function listenOnLoopback(server: Server): Promise<{ port: number; close(): Promise<void> }> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const close = () => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => void server.close(() => resolve()));
  };
  return { port: typeof address === "object" && address ? address.port : 0, close };
}

/** What stands in for the service, or in front of it, while `work` asks it. */
export async function whileAnswering<T>(answer: RequestListener, work: (url: string) => Promise<T>): Promise<T> {
  const { port, close } = await listenOnLoopback(createServer(answer));
  return work(`http://127.0.0.1:${port}`).finally(close);
}
