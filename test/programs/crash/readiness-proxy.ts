import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * A proxy as operators have them: it sends each request to a replica whose `/readyz` is 200, holds it while there is none,
 * and tries none again. What goes wrong on the way to a replica is answered 598.
 */
export type ReadinessProxy = {
  url: string;
  /** Whether it sends requests there. */
  uses(replica: string): boolean;
  close(): Promise<void>;
};

const lookEveryMs = 50;

/** @param urls where the replicas listen, also those that do not run just now */
export async function startReadinessProxy(urls: readonly string[]): Promise<ReadinessProxy> {
  const agent = new Agent({ keepAlive: true });
  const ready = new Set<string>();
  const look = async (url: string): Promise<void> => {
    const status = await fetch(`${url}/readyz`).then(
      (reply) => reply.status,
      () => 0,
    );
    if (status === 200) ready.add(url);
    else ready.delete(url);
  };
  let isClosed = false;
  const keepLooking = async (url: string): Promise<void> => {
    while (!isClosed) {
      await look(url);
      await sleep(lookEveryMs);
    }
  };
  const looking = urls.map(keepLooking);
  let turn = 0;
  const nextTarget = async (): Promise<string> => {
    for (;;) {
      turn += 1;
      const target = [...ready][turn % ready.size];
      if (target !== undefined) return target;
      await sleep(lookEveryMs);
    }
  };
  const forward = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const target = await nextTarget();
    const options = { method: req.method ?? "GET", headers: req.headers, agent };
    const onward = request(`${target}${req.url}`, options, (reply) => {
      res.writeHead(reply.statusCode ?? 598, { "content-type": reply.headers["content-type"] ?? "" });
      reply.pipe(res);
    });
    onward.on("error", (error) => void res.writeHead(598, error.message.replace(/[^ -~]/g, " ")).end());
    req.pipe(onward);
  };
  const server = createServer((req, res) => void forward(req, res)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return {
    url: `http://127.0.0.1:${port}`,
    uses: (replica) => ready.has(replica),
    async close() {
      isClosed = true;
      await Promise.all(looking);
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
