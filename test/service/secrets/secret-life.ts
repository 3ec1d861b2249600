import { secretValue } from "../../support/leak-watch.js";
import type { TestService } from "../../support/test-service.js";

type Headers = Record<string, string>;

/** Everything that can be done to one secret, over real HTTP. */
export type SecretLife = {
  factory: { id: string; name: string };
  path: string;
  put(value?: string, headers?: Headers): ReturnType<SecretLife["post"]>;
  stage(value?: string, headers?: Headers): ReturnType<SecretLife["post"]>;
  post(suffix: string, headers?: Headers, body?: object): ReturnType<ReturnType<TestService["as"]>["post"]>;
  get(suffix?: string): ReturnType<ReturnType<TestService["as"]>["get"]>;
  remove(suffix?: string, headers?: Headers): ReturnType<ReturnType<TestService["as"]>["delete"]>;
  /** `3 staged`, `2 current`, newest first. */
  states(): Promise<string[]>;
  /** Actions of the audit with what they name, oldest first. */
  events(): Promise<Record<string, unknown>[]>;
};

/** A factory of its own with the secret `a`, which has so many versions. */
export async function newLife(service: TestService, versions: number): Promise<SecretLife> {
  const factory = await service.createFactory();
  const life = lifeOf(service, factory, "a");
  for (let version = 0; version < versions; version += 1) await life.put().expect(version === 0 ? 201 : 200);
  return life;
}

/** What can be done to the secret of this name through that replica. */
export function lifeOf(service: TestService, factory: { id: string; name: string }, name: string): SecretLife {
  const path = `/v1/factories/${factory.name}/secrets/${name}`;
  const agent = () => service.as(service.operatorToken);
  return {
    factory,
    path,
    put: (value = secretValue(), headers = {}) => agent().put(path).set(headers).send({ value }),
    stage: (value = secretValue(), headers = {}) =>
      agent().put(path).query({ stage: "true" }).set(headers).send({ value }),
    post: (suffix, headers = {}, body) => {
      const request = agent().post(`${path}${suffix}`).set(headers);
      return body ? request.send(body) : request;
    },
    get: (suffix = "") => agent().get(`${path}${suffix}`),
    remove: (suffix = "", headers = {}) => agent().delete(`${path}${suffix}`).set(headers),
    async states() {
      const { body } = await agent().get(`${path}/versions?pageSize=200`).expect(200);
      return body.items.map(({ version, state }: { version: number; state: string }) => `${version} ${state}`);
    },
    async events() {
      const sql = "SELECT event FROM audit_events WHERE factory_id = $1 AND secret = $2 ORDER BY id";
      const { rows } = await service.database.pool.query<{ event: Buffer }>(sql, [factory.id, name]);
      return rows.map(({ event }) => JSON.parse(event.toString("utf8")));
    },
  };
}
