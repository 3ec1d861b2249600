import type { Permission } from "../../../src/core/permissions.js";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import type { TestService } from "../../support/test-service.js";

const passedHost = "passed.example.test";
const namedHost = "registry.example.test";
/** What the entry that always works hands on, so that a job is answered whatever the other entries do. */
const passedOn = "ci:not-a-real-secret-passed-on-77aa";

const held = ["secrets:list", "secrets:write", "config:read", "config:write", "jobs:create"] as const;

/** Everything that somebody can do to one secret and to the config, over real HTTP. */
export type DeliveryCaller = ReturnType<typeof callerOf>;

/** A service with one registry that always works and one whose entry can name any secret. */
export function startDeliveryService(): Promise<BrokeredFactory> {
  const users = { ci: { password: "not-a-real-secret-of-the-registry", rights: { "acme/base": ["pull"] } } } as const;
  return startBrokeredFactory(
    ({ docker }) => {
      docker.addRegistry({ host: namedHost, users });
      docker.addRegistry({ host: passedHost, auth: "basic", users });
    },
    { FACTORY_SECRETS_PASS_THROUGH_HOSTS: passedHost },
  );
}

function callerOf(service: TestService, factory: string, token: string, secret: string) {
  const path = `/v1/factories/${factory}`;
  const at = `${path}/secrets/${secret}`;
  const agent = () => service.as(token);
  return {
    put: (value: string, deliverToJobs?: boolean) => agent().put(at).send({ value, deliverToJobs }),
    stage: (value: string, deliverToJobs?: boolean) =>
      agent().put(at).query({ stage: "true" }).send({ value, deliverToJobs }),
    batch: (value: string, deliverToJobs?: boolean) =>
      agent()
        .post(`${path}/secrets:batch`)
        .send({ secrets: [{ name: secret, value, deliverToJobs }] }),
    fioctl: (value: string | null) =>
      agent()
        .post(`/projects/${factory}/lmp/triggers/`)
        .send({ type: "simple", secrets: [{ name: secret, value }] }),
    post: (suffix: string) => agent().post(`${at}${suffix}`),
    remove: (suffix = "") => agent().delete(`${at}${suffix}`),
    /** Publishes a config in which an entry names the secret, or none does. */
    publish: (isNamed: boolean) =>
      agent()
        .put(`${path}/config`)
        .query({ allowMissingSecrets: "true" })
        .set("Content-Type", "application/yaml")
        .send(configOf(isNamed ? [secret] : [])),
    restoreConfig: (version: number) => agent().post(`${path}/config/versions/${version}:restore`).send({}),
    addEntry: () => agent().post(`${path}/registries`).send({ type: "generic", url: namedHost, secretName: secret }),
    removeEntry: () => agent().delete(`${path}/registries/${namedHost}`),
    get: (suffix = "") => agent().get(`${at}${suffix}`),
    events: () => agent().get(`${path}/audit`).query({ secret }),
  };
}

const entryOf = (secret: string) => ({ type: "generic", url: namedHost, generic_secret_name: secret });

const configOf = (secrets: readonly string[]): string =>
  JSON.stringify({
    container_registries: [
      { type: "generic", url: passedHost, generic_secret_name: "passed", passThrough: true },
      ...secrets.map(entryOf),
    ],
  });

/**
 * A factory of its own with a secret `s` that is not there yet, for three callers: an operator; somebody who may do all
 * that touches secrets and the config but turn delivery on; and somebody who may that too, through the replica.
 */
export async function newDelivery({ service }: Pick<BrokeredFactory, "service">, replica: TestService = service) {
  const factory = await service.createFactory();
  const tokenOf = async (...more: Permission[]) =>
    (await service.createApiToken(factory.name, [...held, ...more])).token;
  const caller = (token: string, on = service) => callerOf(on, factory.name, token, "s");
  const passed = callerOf(service, factory.name, service.operatorToken, "passed");
  await passed.put(passedOn).expect(201);
  const operator = caller(service.operatorToken);
  await operator.publish(false).expect(201);
  /** What a job gets by the name of the secret. */
  async function delivered(): Promise<string | undefined> {
    const { token } = await service.openJob(factory.name);
    const asked = { format: "ci-scripts", allowPartial: true };
    const { body } = await service
      .as(token)
      .post(`/v1/factories/${factory.name}/registry-tokens`)
      .send(asked)
      .expect(200);
    const file = body.files.find(({ name }: { name: string }) => name === "s");
    return file && Buffer.from(file.contentBase64, "base64").toString("utf8");
  }
  return {
    factory,
    operator,
    writer: caller(await tokenOf()),
    deliverer: caller(await tokenOf("secrets:deliver"), replica),
    delivered,
  };
}
