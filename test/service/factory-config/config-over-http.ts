import type { Permission } from "../../../src/core/permissions.js";
import { secretValue } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";

export type Reply = Awaited<ReturnType<ReturnType<TestService["as"]>["get"]>>;

/** The service and one factory, with callers who may do one thing each. */
export type ConfigOverHttp = {
  service: TestService;
  path: string;
  factory: { id: string; name: string };
  operator: string;
  /** The token of a caller with these permissions. */
  caller(...permissions: Permission[]): Promise<string>;
  putSecrets(...names: string[]): Promise<void>;
  put(
    token: string,
    document: string | Buffer,
    query?: Record<string, string>,
    headers?: Record<string, string>,
  ): Promise<Reply>;
  /** The current document, byte for byte. */
  document(): Promise<Buffer>;
  close(): Promise<void>;
};

export async function startConfigOverHttp(): Promise<ConfigOverHttp> {
  const service = await startTestService();
  const factory = await service.createFactory();
  const path = `/v1/factories/${factory.name}`;
  const operator = service.operatorToken;
  return {
    service,
    path,
    factory,
    operator,
    caller: async (...permissions) => (await service.createApiToken(factory.name, permissions)).token,
    async putSecrets(...names) {
      const secrets = names.map((name) => ({ name, value: secretValue(name) }));
      const reply = await service
        .as(operator)
        .post(`${path}/secrets:batch`)
        .query({ allowUnusable: "true" })
        .send({ secrets });
      if (reply.status >= 300) throw new Error(reply.text);
    },
    async put(token, document, query = {}, headers = {}) {
      const put = service.as(token).put(`${path}/config`).query(query).set("Content-Type", "application/yaml");
      return put.set(headers).send(document);
    },
    document: async () => (await service.as(operator).get(`${path}/config/document`).responseType("blob")).body,
    close: () => service.close(),
  };
}
