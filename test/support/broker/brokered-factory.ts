import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type StandInClouds, startStandInClouds } from "../clouds/start-stand-in-clouds.js";
import { watched } from "../leak-watch.js";
import { startOwnTestService, startTestService, type TestService } from "../test-service.js";

export type TokenReply = Awaited<ReturnType<ReturnType<TestService["as"]>["post"]>>;

/** The whole service with stand-in clouds, and one factory in it. */
export type BrokeredFactory = {
  clouds: StandInClouds;
  service: TestService;
  factory: { id: string; name: string };
  /** What a service takes to reach the stand-ins, for a further replica. */
  environment: Record<string, string>;
  putSecret(name: string, value: string): Promise<void>;
  putConfig(document: string): Promise<void>;
  /** Asks for registry tokens. */
  ask(token: string, body?: Record<string, unknown>, service?: TestService): Promise<TokenReply>;
  openJob(job?: Record<string, unknown>): Promise<{ id: string; token: string }>;
  /** Audit rows of one action, oldest first. */
  events(action: string): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
};

/**
 * @param prepare opens the registries, because the hosts that may be reached are settings of the service
 * @param on a new database, for what a tenant of the worker's must not do; or one that the test has made
 */
export async function startBrokeredFactory(
  prepare: (clouds: StandInClouds) => void,
  settings: Record<string, string> = {},
  on?: Pick<TestService, "databaseUrl" | "key"> | "a new database",
  options: Parameters<typeof startStandInClouds>[0] = {},
): Promise<BrokeredFactory> {
  const clouds = await startStandInClouds(options);
  prepare(clouds);
  const directory = mkdtempSync(join(tmpdir(), "brokered-factory-"));
  const caFile = join(directory, "ca.pem");
  writeFileSync(caFile, clouds.caPem);
  const environment = {
    FACTORY_SECRETS_CONNECT_TO: clouds.connectTo,
    FACTORY_SECRETS_CA_FILE: caFile,
    ...settings,
  };
  const service =
    on === "a new database" ? await startOwnTestService(environment) : await startTestService(environment, on);
  const factory = await service.createFactory();
  const operator = () => service.as(service.operatorToken);
  const path = `/v1/factories/${factory.name}`;
  return {
    clouds,
    service,
    factory,
    environment,
    async putSecret(name, value) {
      const reply = await operator().put(`${path}/secrets/${name}`).send({ value });
      if (reply.status >= 300) throw new Error(`the secret ${name} was answered ${reply.status}: ${reply.text}`);
    },
    async putConfig(document) {
      const put = operator().put(`${path}/config`).query({ allowMissingSecrets: "true" });
      const reply = await put.set("Content-Type", "application/yaml").send(document);
      if (reply.status >= 300) throw new Error(`the config was answered ${reply.status}: ${reply.text}`);
    },
    ask: async (token, body = {}, on = service) => on.as(token).post(`${path}/registry-tokens`).send(body),
    openJob: (job) => service.openJob(factory.name, job),
    async events(action) {
      const sql = "SELECT event FROM audit_events WHERE factory_id = $1 AND action = $2 ORDER BY id";
      const { rows } = await service.database.pool.query<{ event: Buffer }>(sql, [factory.id, action]);
      return rows.map(({ event }) => JSON.parse(event.toString("utf8")));
    },
    async close() {
      await clouds.close();
      await service.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** The `Authorization` that a client makes of a token of the reply. */
export function authorizationOf(token: { bearer?: string; username?: string; password?: string }): string {
  if (token.bearer !== undefined) return `Bearer ${token.bearer}`;
  return `Basic ${Buffer.from(`${token.username}:${token.password}`).toString("base64")}`;
}

/** What the registry itself answers to a pull of `repository` with this authorization. */
export async function pull(
  clouds: StandInClouds,
  host: string,
  repository: string,
  authorization: string,
): Promise<number> {
  const reply = await clouds.request({ host, path: `/v2/${repository}/manifests/latest`, headers: { authorization } });
  return reply.status;
}

/** Made-up keys of an IAM user, and the credentials file that holds them. */
export function awsUser(name: string): { accessKeyId: string; secretAccessKey: string; section: string } {
  const accessKeyId = `AKIAIOSFODNN${name.toUpperCase()}`;
  const secretAccessKey = watched(`not-a-real-secret-${name}-${name}-${name}`);
  const section = `aws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
  return { accessKeyId, secretAccessKey, section };
}
