import { afterAll, beforeAll, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { login, makeClient, refresh } from "./oauth-factory.js";

const password = watched("not-a-real-secret-oauth-5c1f");
const demand = { registry: "ghcr.io", repositories: ["acme/app"] };

let broker: BrokeredFactory;
let replica: TestService;

beforeAll(async () => {
  broker = await startBrokeredFactory(
    ({ docker }) => {
      const users = { bot: { password, rights: { "acme/app": ["pull"] } } } as const;
      docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 });
    },
    { FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" },
    "a new database",
  );
  replica = await startTestService(broker.environment, broker.service);
  await broker.putSecret("ghcr_creds", `bot:${password}`);
  await broker.putConfig("container_registries:\n- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n");
  // Nothing is announced in this file: "at once" must hold without any message between replicas.
  await broker.service.database.pool.query("ALTER TABLE factories DISABLE TRIGGER factories_announce_generation");
});
afterAll(async () => {
  await replica.close();
  await broker.close();
});

async function client() {
  const made = await makeClient(broker.service, broker.factory.name, { permissions: ["registry-tokens:issue"] });
  const { access_token: token, refresh_token: refreshToken } = (await login(broker.service, made)).body;
  for (const where of [broker.service, replica]) expect((await broker.ask(token, demand, where)).status).toBe(200);
  return { ...made, token, refreshToken };
}

it("gives no registry token for an access token of a client that was withdrawn, on any replica", async () => {
  const { id, token } = await client();
  await broker.service
    .as(broker.service.operatorToken)
    .delete(`/v1/factories/${broker.factory.name}/oauth-clients/${id}`)
    .expect(204);
  for (const where of [replica, broker.service]) expect((await broker.ask(token, demand, where)).status).toBe(401);
});

it("gives none after the reuse of a refresh token, on any replica", async () => {
  const one = await client();
  expect((await refresh(broker.service, one, one.refreshToken)).status).toBe(200);
  await broker.service.database.pool.query("UPDATE refresh_tokens SET used_at = used_at - interval '61 seconds'");
  expect((await refresh(broker.service, one, one.refreshToken)).status).toBe(400);
  for (const where of [replica, broker.service]) expect((await broker.ask(one.token, demand, where)).status).toBe(401);
});

it("names the client in the audit of what it was given", async () => {
  const { id } = await client();
  const issued = await broker.events("registry-token.issued");
  expect(issued.at(-1)).toMatchObject({ actor: { kind: "oauth-client", id, name: "test client" } });
});
