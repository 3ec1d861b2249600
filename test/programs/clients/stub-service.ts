import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { ServerCertificate } from "../../support/certificates.js";

export type Asked = { method: string; path: string; headers: IncomingMessage["headers"]; body: string };

/** An HTTP server of 127.0.0.1 that answers as a test wants, and keeps what it was asked. */
export type StubService = { url: string; asked: Asked[]; answer: Answer; close(): Promise<void> };

type Answer = (response: ServerResponse, times: number) => void;

/** @param certificate - for one that speaks TLS */
export async function startStubService(
  answer: Answer = (response) => void response.end(),
  certificate?: ServerCertificate,
): Promise<StubService> {
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { method = "", url: path = "", headers } = request;
      stub.asked.push({ method, path, headers, body: Buffer.concat(parts).toString("utf8") });
      stub.answer(response, stub.asked.length);
    });
  };
  const server = certificate ? createTlsServer(certificate, onRequest) : createServer(onRequest);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const stub: StubService = {
    url: `${certificate ? "https" : "http"}://127.0.0.1:${port}`,
    asked: [],
    answer,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return stub;
}

/** Answers with JSON, as a problem where the status is one. */
export const jsonAnswer =
  (status: number, body: object): Answer =>
  (response) => {
    const type = status < 400 ? "application/json" : "application/problem+json";
    response.writeHead(status, { "Content-Type": type }).end(JSON.stringify(body));
  };
