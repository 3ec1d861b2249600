import { createHash, randomBytes } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { createTestCertificateAuthority } from "../../support/certificates.js";
import { secretValue } from "../../support/leak-watch.js";
import { listen, type TestServer } from "../outbound/tls-server.js";

export const registryHost = "registry.example.test";
export const storageHost = "storage.example.test";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** What the registry or its storage received. */
export type Received = { host: string; method: string; url: string; headers: IncomingMessage["headers"] };

/** A reply with what came of its body; `error` where the connection broke before its end, status 0 where before its head. */
export type Reply = {
  status: number;
  reason: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
  error?: Error;
};

export type RelayedRegistry = {
  broker: BrokeredFactory;
  /** Registry and storage, on one port. */
  upstream: TestServer;
  received: Received[];
  /** How the registry (or, for a path with another host in front, that) answers a path: `/v2/team/app/blobs/...`. */
  on(path: string, answer: Answer): void;
  /** The token of a job that may pull everything. */
  token: string;
  /** Asks the relay for what is behind `/v2/<factory>/<registry>/`. */
  ask(path: string, options?: AskOptions): Promise<Reply>;
  /** The same, as soon as the headers are there; the body is not read. */
  begin(path: string, options?: AskOptions): Promise<IncomingMessage>;
  /** Resolves as soon as no connection of the registry is open. */
  registryIsFree(): Promise<void>;
  /** Puts the right login back, as a new version. */
  restoreLogin(): Promise<void>;
  close(): Promise<void>;
};

export type AskOptions = { method?: string; headers?: Record<string, string>; token?: string; signal?: AbortSignal };

/** The whole service in front of a registry that takes a stored user and password alone, and answers as a test says. */
export async function startRelayedRegistry(
  options: { settings?: Record<string, string>; entry?: string; hosts?: readonly string[] } = {},
): Promise<RelayedRegistry> {
  const answers = new Map<string, Answer>();
  const received: Received[] = [];
  const hosts = [registryHost, storageHost, ...(options.hosts ?? [])];
  const password = secretValue("registry");
  const basic = `Basic ${Buffer.from(`ci:${password}`).toString("base64")}`;
  const authority = await createTestCertificateAuthority();
  const sockets = new Set<object>();
  const changes = new EventEmitter();
  const server = createServer(await authority.issue(hosts), (request, response) => {
    const { host = "", authorization } = request.headers;
    const { method = "", url = "" } = request;
    if (host === registryHost && authorization !== basic) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="registry"' }).end("who are you?");
      return;
    }
    received.push({ host, method, url, headers: request.headers });
    const answer = answers.get(host === registryHost ? url : `${host}${url}`);
    if (answer) answer(request, response);
    else
      response.writeHead(url === "/v2/" ? 200 : 404, { "content-type": "text/plain" }).end("an error of the registry");
  });
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      changes.emit("closed");
    });
  });
  const upstream = await listen(server);
  const connectTo = hosts.map((host) => `${host}:443=127.0.0.1:${upstream.port}`).join(",");
  const settings = { FACTORY_SECRETS_CONNECT_TO: connectTo, ...options.settings };
  const broker = await startBrokeredFactory(() => undefined, settings, undefined, { authority });
  const restoreLogin = () => broker.putSecret("registry_login", `ci:${password}`);
  await restoreLogin();
  await broker.putConfig(
    `container_registries:\n- type: generic\n  url: ${registryHost}\n  generic_secret_name: registry_login\n${options.entry ?? ""}`,
  );
  const { token } = await broker.openJob();
  const { service, factory } = broker;

  function begin(path: string, asked: AskOptions = {}): Promise<IncomingMessage> {
    const headers = { authorization: `Bearer ${asked.token ?? token}`, ...asked.headers };
    const url = `${service.url}/v2/${factory.name}/${registryHost}/${path}`;
    const { method = "GET", signal } = asked;
    const outgoing = httpRequest(url, { method, headers, agent: false, ...(signal && { signal }) });
    return new Promise((resolve, reject) => {
      outgoing.once("response", resolve).on("error", reject).end();
    });
  }

  return {
    broker,
    upstream,
    received,
    token,
    begin,
    restoreLogin,
    on: (path, answer) => void answers.set(path, answer),
    ask: async (path, asked) => {
      try {
        return await readReply(await begin(path, asked));
      } catch (error) {
        return { status: 0, reason: "", headers: {}, body: Buffer.alloc(0), error: asError(error) };
      }
    },
    registryIsFree: async () => {
      while (sockets.size > 0) await once(changes, "closed");
    },
    close: async () => {
      await broker.close();
      await upstream.close();
    },
  };
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

async function readReply(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  let error: Error | undefined;
  try {
    for await (const chunk of response) chunks.push(chunk);
  } catch (thrown) {
    error = asError(thrown);
  }
  const { statusCode: status = 0, statusMessage: reason = "", headers } = response;
  return { status, reason, headers, body: Buffer.concat(chunks), ...(error && { error }) };
}

export const digestOf = (bytes: Buffer, algorithm: "sha256" | "sha512" = "sha256"): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;

/** A blob that nothing else has, and its digest. */
export function newBlob(length: number): { bytes: Buffer; digest: string } {
  const bytes = randomBytes(length);
  return { bytes, digest: digestOf(bytes) };
}
