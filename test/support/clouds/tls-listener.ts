import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request as httpsRequest } from "node:https";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import type { TestCertificateAuthority } from "../certificates.js";
import type { CloudEndpoint, CloudReply, CloudRequest, Outcome } from "./cloud-endpoint.js";

const maxBodyBytes = 1_048_576;

/** A request that a test makes itself, for example to see whether a brokered token opens a repository. */
export type DirectRequest = {
  host: string;
  path: string;
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
};

export type TlsListener = {
  port: number;
  /** Asks one of the hosts over TLS, verified for its name, connected to the listener. */
  request(options: DirectRequest): Promise<{ status: number; headers: IncomingMessage["headers"]; body: string }>;
  close(): Promise<void>;
};

/**
 * Serves any number of hosts over TLS on one free port of 127.0.0.1. The host is told by the server name of the
 * handshake; its certificate is issued when it is first asked for. A handshake for an unknown host fails, and a
 * `Host` header that does not agree with the handshake is answered 421, as the real front ends do.
 */
export async function listenForHosts(
  authority: TestCertificateAuthority,
  endpointOf: (host: string) => CloudEndpoint | undefined,
): Promise<TlsListener> {
  const contexts = new Map<string, Promise<SecureContext>>();
  const contextOf = (host: string): Promise<SecureContext> => {
    const known = contexts.get(host) ?? authority.issue([host]).then((certificate) => createSecureContext(certificate));
    contexts.set(host, known);
    return known;
  };
  const server = createServer({
    SNICallback: (name, done) => {
      const host = name.toLowerCase();
      if (endpointOf(host) === undefined) return done(new Error(`no stand-in for ${host}`));
      contextOf(host).then((context) => done(null, context), done);
    },
  });
  server.on("request", (req, res) => {
    const endpoint = endpointOf(hostOf(req));
    serve(endpoint, req, res).catch((error: unknown) => {
      // A fault of the stand-in itself: visible to the test as an answer that no cloud gives.
      res.writeHead(599).end(error instanceof Error ? (error.stack ?? error.message) : "unknown failure");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the listener has no port");
  const { port } = address;
  return {
    port,
    request: (options) => requestOnce(port, authority.caPem, options),
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function serve(endpoint: CloudEndpoint | undefined, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const host = hostOf(req);
  const servername = req.socket instanceof TLSSocket ? req.socket.servername : undefined;
  if (endpoint === undefined || (typeof servername === "string" && servername.toLowerCase() !== host)) {
    res.writeHead(421).end("misdirected request");
    return;
  }
  const body = await bodyOf(req, maxBodyBytes);
  if (body === undefined) {
    res.writeHead(413).end();
    return;
  }
  const [path = "/", rawQuery = ""] = splitOnce(req.url ?? "/", "?");
  const request: CloudRequest = { host, method: req.method ?? "GET", path, rawQuery, headers: req.headers, body };
  carryOut(await endpoint.respond(request), res);
}

function carryOut(outcome: Outcome, res: ServerResponse): void {
  switch (outcome.do) {
    case "reply":
      send(outcome.reply, res);
      break;
    case "stall":
      break;
    case "drop":
      res.destroy();
      break;
    case "half":
      res.writeHead(200, { "content-type": "application/json", "content-length": "4096" });
      res.write('{"authorizationData":[{"authoriz', () => res.destroy());
      break;
    default:
      outcome satisfies never;
  }
}

function send(reply: CloudReply, res: ServerResponse): void {
  res.writeHead(reply.status, { ...reply.headers, "content-length": Buffer.byteLength(reply.body) }).end(reply.body);
}

/** `undefined` when the message is longer than that. */
async function bodyOf(message: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    size += bytes.length;
    if (size > maxBytes) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function hostOf(req: IncomingMessage): string {
  return (req.headers.host ?? "").toLowerCase().replace(/:\d+$/, "");
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

async function requestOnce(
  port: number,
  ca: string,
  options: DirectRequest,
): Promise<{ status: number; headers: IncomingMessage["headers"]; body: string }> {
  const outgoing = httpsRequest({
    host: "127.0.0.1",
    port,
    ca,
    agent: false,
    servername: options.host,
    method: options.method ?? "GET",
    path: options.path,
    headers: { host: options.host, ...options.headers },
  });
  outgoing.end(options.body);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once("response", resolve).once("error", reject);
  });
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: (await bodyOf(response, Number.POSITIVE_INFINITY)) ?? "",
  };
}
