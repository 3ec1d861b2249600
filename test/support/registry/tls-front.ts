import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { TestCertificateAuthority } from "../certificates.js";
import type { CloudReply, CloudRequest } from "../clouds/cloud-endpoint.js";

export type TlsFront = { port: number; close(): Promise<void> };

export type TlsFrontOptions = {
  authority: TestCertificateAuthority;
  /** The names in its certificate. */
  hosts: readonly string[];
  /** A plain HTTP server on 127.0.0.1. */
  upstreamPort: number;
  /** Requests that the front answers itself; `undefined` passes one on. */
  answer?(request: CloudRequest): CloudReply | undefined;
};

/**
 * Puts TLS in front of a program that speaks plain HTTP, on a free port of 127.0.0.1. `Host` is passed on as it came,
 * so the program sees the name that the client asked for; bodies are streamed.
 */
export async function startTlsFront(options: TlsFrontOptions): Promise<TlsFront> {
  const server = createServer(await options.authority.issue(options.hosts), (req, res) => {
    const reply = options.answer?.(requestWithoutBody(req));
    if (reply === undefined) passOn(options.upstreamPort, req, res);
    else res.writeHead(reply.status, reply.headers).end(reply.body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the TLS front has no port");
  return {
    port: address.port,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function passOn(port: number, req: IncomingMessage, res: ServerResponse): void {
  const headers = { ...req.headers, "x-forwarded-proto": "https" };
  const outgoing = httpRequest({ host: "127.0.0.1", port, agent: false, method: req.method, path: req.url, headers });
  outgoing.once("response", (incoming) => {
    res.writeHead(incoming.statusCode ?? 502, incoming.headers);
    incoming.pipe(res);
  });
  outgoing.once("error", () => res.destroy());
  req.pipe(outgoing);
}

function requestWithoutBody(req: IncomingMessage): CloudRequest {
  const [path = "/", rawQuery = ""] = (req.url ?? "/").split("?");
  return { host: req.headers.host ?? "", method: req.method ?? "GET", path, rawQuery, headers: req.headers, body: "" };
}
