import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { recordText, watched } from "../leak-watch.js";
import { startTinyRegistry, type TinyRegistry } from "../registry/tiny-registry.js";
import { startOwnTestService, startTestService, type TestService } from "../test-service.js";

export type RelayReply = {
  status: number;
  reason: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  text: string;
};

/** A service with a factory, and a registry that it relays to: what clients put in front is plain HTTP. */
export type RelayedFactory = {
  service: TestService;
  registry: TinyRegistry;
  factory: { id: string; name: string };
  environment: Record<string, string>;
  /** Without a document: the one that names both registries. */
  putConfig(document?: string): Promise<void>;
  openJob(repositories?: readonly string[]): Promise<{ id: string; token: string }>;
  endJob(id: string): Promise<void>;
  /** Audit rows of one action, oldest first. */
  events(action: string): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
};

export const otherHost = "registry.relay.example:5000";
const password = watched("not-a-real-secret-relay-7c41");

export async function startRelayedFactory(
  settings: Record<string, string> = {},
  on?: "a new database",
): Promise<RelayedFactory> {
  const registry = await startTinyRegistry({
    hosts: ["ghcr.io", otherHost],
    login: { user: "ci", password },
    repositories: ["acme/app", "acme/base", "blobs/tags"],
  });
  const directory = await mkdtemp(join(tmpdir(), "relayed-factory-"));
  await writeFile(join(directory, "ca.pem"), registry.caPem);
  const environment = {
    FACTORY_SECRETS_CONNECT_TO: registry.connectTo,
    FACTORY_SECRETS_CA_FILE: join(directory, "ca.pem"),
    ...settings,
  };
  const service = on ? await startOwnTestService(environment) : await startTestService(environment);
  const factory = await service.createFactory();
  const operator = service.as(service.operatorToken);
  const path = `/v1/factories/${factory.name}`;
  await operator
    .put(`${path}/secrets/ghcr_creds`)
    .send({ value: `ci:${password}` })
    .expect(201);
  const entry = (url: string) => `- type: generic\n  url: ${url}\n  generic_secret_name: ghcr_creds\n`;
  const config = `container_registries:\n${entry(registry.host)}${entry(otherHost)}`;
  const putConfig = async (document = config) => {
    const reply = await operator.put(`${path}/config`).set("Content-Type", "application/yaml").send(document);
    if (reply.status >= 300) throw new Error(`the config was answered ${reply.status}: ${reply.text}`);
  };
  await putConfig();
  return {
    service,
    registry,
    factory,
    environment,
    putConfig,
    openJob: (repositories) =>
      service.openJob(factory.name, repositories && { grants: [{ registry: registry.host, repositories }] }),
    endJob: async (id) => void (await service.as(service.operatorToken).delete(`${path}/jobs/${id}`).expect(204)),
    async events(action) {
      const sql = "SELECT event FROM audit_events WHERE factory_id = $1 AND action = $2 ORDER BY id";
      const { rows } = await service.database.pool.query<{ event: Buffer }>(sql, [factory.id, action]);
      return rows.map(({ event }) => JSON.parse(event.toString("utf8")));
    },
    async close() {
      await service.close();
      await registry.close();
      await rm(directory, { recursive: true });
    },
  };
}

/** Asks the relay with exactly this path, which no client library has changed on its way. */
export function askRelay(
  url: string,
  path: string,
  options: {
    authorization?: string;
    method?: string;
    headers?: Record<string, string | string[]>;
    body?: string;
  } & Pick<RequestOptions, "cert" | "key" | "agent"> = {},
): Promise<RelayReply> {
  const { authorization, body, method = "GET", headers = {}, ...tls } = options;
  const { protocol, hostname, port } = new URL(url);
  const sent = { ...headers, ...(authorization !== undefined && { authorization }) };
  const request = protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const asked = request(
      { hostname, port, path, method, headers: sent, rejectUnauthorized: false, ...tls },
      (reply) => {
        let text = "";
        reply.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        reply.once("error", reject).once("end", () => {
          recordText(text);
          resolve({ status: reply.statusCode ?? 0, reason: reply.statusMessage ?? "", headers: reply.headers, text });
        });
      },
    );
    asked.once("error", reject);
    // In pieces, without a length, as skopeo and podman send their forms.
    if (body !== undefined) asked.write(body);
    asked.end();
  });
}

export const basic = (user: string, token: string): string =>
  `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`;

const TokenReply = z.object({
  token: z.string().optional(),
  access_token: z.string(),
  scope: z.string(),
  expires_in: z.number(),
  issued_at: z.string(),
});

/** What the token endpoint gives for these scopes. */
export async function tokenFor(
  url: string,
  authorization: string | undefined,
  scopes: readonly string[],
  tls: Parameters<typeof askRelay>[2] = {},
): Promise<z.output<typeof TokenReply>> {
  const query = new URLSearchParams(scopes.map((scope): [string, string] => ["scope", scope]));
  const with_ = authorization === undefined ? {} : { authorization };
  const reply = await askRelay(url, `/v2/token?${query}`, { ...tls, ...with_ });
  if (reply.status !== 200) throw new Error(`the token endpoint answered ${reply.status}: ${reply.text}`);
  return TokenReply.parse(JSON.parse(reply.text));
}

const Errors = z.object({ errors: z.array(z.object({ code: z.string(), message: z.string(), detail: z.unknown() })) });

/** The one error of an answer, as the distribution specification has it. */
export function errorOf({ text }: RelayReply): { code: string; message: string } {
  const [error, ...more] = Errors.parse(JSON.parse(text)).errors;
  if (error === undefined || more.length > 0) throw new Error("there is one error");
  return error;
}
