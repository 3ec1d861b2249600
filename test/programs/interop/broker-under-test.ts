import type { PrivateRegistry } from "../../support/registry/private-registry.js";
import { startTestService } from "../../support/test-service.js";

export type TokenReply = Awaited<ReturnType<ReturnType<Awaited<ReturnType<typeof startTestService>>["as"]>["post"]>>;

export type BrokerUnderTest = {
  /** What a CI job gets that asks for registry tokens with this body. */
  askAsJob(body: Record<string, unknown>): Promise<TokenReply>;
  /** What our command line needs to be that job. */
  jobEnvironment: Record<string, string>;
  endJob(): Promise<void>;
  /** The token of a job somewhere else. */
  tokenOfAnotherFactory(): Promise<string>;
  close(): Promise<void>;
};

/** The whole service with one factory, whose config names the registry and the secret with a login for it. */
export async function startBrokerFor(
  registry: PrivateRegistry,
  options: { login: string; passThrough: boolean },
): Promise<BrokerUnderTest> {
  const { host } = registry;
  const service = await startTestService({
    FACTORY_SECRETS_CONNECT_TO: registry.connectTo,
    FACTORY_SECRETS_CA_FILE: await registry.writeFile("service-ca.pem", registry.caPem),
    ...(options.passThrough && { FACTORY_SECRETS_PASS_THROUGH_HOSTS: host }),
  });
  const factory = await service.createFactory();
  const path = `/v1/factories/${factory.name}`;
  const operator = service.as(service.operatorToken);
  await operator.put(`${path}/secrets/registry_login`).send({ value: options.login }).expect(201);
  const passThrough = options.passThrough ? "\n  passThrough: true" : "";
  const entry = `- type: generic\n  url: ${host}\n  generic_secret_name: registry_login${passThrough}\n`;
  const config = operator.put(`${path}/config`).set("Content-Type", "application/yaml");
  await config.send(`container_registries:\n${entry}`).expect(201);
  const job = await service.openJob(factory.name);
  return {
    askAsJob: async (body) => service.as(job.token).post(`${path}/registry-tokens`).send(body),
    jobEnvironment: {
      FACTORY_SECRETS_URL: service.url,
      FACTORY_SECRETS_FACTORY: factory.name,
      FACTORY_SECRETS_TOKEN: job.token,
    },
    endJob: async () => {
      await service.as(service.operatorToken).delete(`${path}/jobs/${job.id}`).expect(204);
    },
    tokenOfAnotherFactory: async () => (await service.openJob((await service.createFactory()).name)).token,
    close: () => service.close(),
  };
}
