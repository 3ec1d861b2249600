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
  answer?(request: CloudRequest): Promise<CloudReply> | undefined;
  /** Changes the text of every answer that is passed on; without it answers are streamed as they come. */
  rewrite?(body: string): string;
};

/**
 * Puts TLS in front of a program that speaks plain HTTP, on a free port of 127.0.0.1. `Host` is passed on as it came,
 * so the program sees the name that the client asked for; bodies are streamed.
 */
export async function startTlsFront(options: TlsFrontOptions): Promise<TlsFront> {
  const server = createServer(await options.authority.issue(options.hosts), (req, res) => {
    const reply = options.answer?.(requestWithoutBody(req));
    if (reply === undefined) return passOn(options, req, res);
    reply.then(
      ({ status, headers, body }) => res.writeHead(status, headers).end(body),
      () => res.destroy(),
    );
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

function passOn(options: TlsFrontOptions, req: IncomingMessage, res: ServerResponse): void {
  const headers = { ...req.headers, "x-forwarded-proto": "https" };
  const { method, url: path } = req;
  const outgoing = httpRequest({ host: "127.0.0.1", port: options.upstreamPort, agent: false, method, path, headers });
  outgoing.once("response", (incoming) => {
    if (options.rewrite === undefined) {
      res.writeHead(incoming.statusCode ?? 502, incoming.headers);
      incoming.pipe(res);
    } else {
      rewriteInto(options.rewrite, incoming, res).catch(() => res.destroy());
    }
  });
  outgoing.once("error", () => res.destroy());
  req.pipe(outgoing);
}

async function rewriteInto(
  rewrite: (body: string) => string,
  incoming: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(Buffer.from(chunk));
  const body = Buffer.from(rewrite(Buffer.concat(chunks).toString("utf8")));
  const { "transfer-encoding": _, ...headers } = incoming.headers;
  res.writeHead(incoming.statusCode ?? 502, { ...headers, "content-length": body.length }).end(body);
}

function requestWithoutBody(req: IncomingMessage): CloudRequest {
  const [path = "/", rawQuery = ""] = (req.url ?? "/").split("?");
  return { host: req.headers.host ?? "", method: req.method ?? "GET", path, rawQuery, headers: req.headers, body: "" };
}
