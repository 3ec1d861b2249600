import { once } from "node:events";
import { request } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  authorizationOf,
  type BrokeredFactory,
  pull,
  startBrokeredFactory,
} from "../../support/broker/brokered-factory.js";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { watched } from "../../support/leak-watch.js";
import { startTestService, type TestService } from "../../support/test-service.js";

const first = watched("not-a-real-secret-first-44aa");
const second = watched("not-a-real-secret-second-9be1");
const config = (more = ""): string => `container_registries:
- type: generic
  url: ghcr.io
  generic_secret_name: ghcr_creds
${more}`;
const quay = "- type: generic\n  url: quay.example.test\n  generic_secret_name: ghcr_creds\n";
const demand = { registry: "ghcr.io", repositories: ["acme/app"] };

let broker: BrokeredFactory;
let otherReplica: TestService;
let realm: ReturnType<BrokeredFactory["clouds"]["docker"]["addRegistry"]>["realm"];
beforeAll(async () => {
  const openRegistries = ({ docker }: StandInClouds) => {
    const rights = { "acme/app": ["pull"], "acme/base": ["pull"] } as const;
    const users = { first: { password: first, rights }, second: { password: second, rights } };
    realm = docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 }).realm;
    docker.addRegistry({ host: "quay.example.test", users });
  };
  // An access token is good at every replica only when all have one name.
  const settings = { FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" };
  broker = await startBrokeredFactory(openRegistries, settings, "a new database");
  otherReplica = await startTestService(broker.environment, broker.service);
  // Nothing is announced in this file: "at once" must hold without any message between replicas.
  await broker.service.database.pool.query(
    `ALTER TABLE factories DISABLE TRIGGER factories_announce_generation;
     ALTER TABLE installation DISABLE TRIGGER installation_announce_generation;
     ALTER TABLE credentials DISABLE TRIGGER credentials_announce_withdrawal`,
  );
});
afterAll(async () => {
  await otherReplica.close();
  await broker.close();
});
beforeEach(async () => {
  await broker.putSecret("ghcr_creds", `first:${first}`);
  await broker.putConfig(config());
  realm.forget();
});

const minted = (): number => realm.calls("GET /token");
const tokenOf = (reply: { body: { tokens: { bearer: string }[] } }): string => reply.body.tokens[0]?.bearer ?? "";

describe("the cache of tokens", () => {
  it("asks upstream once for 200 jobs at once", async () => {
    const jobs = await Promise.all(Array.from({ length: 200 }, () => broker.openJob()));
    const replies = await Promise.all(jobs.map(({ token }) => broker.ask(token, demand)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(replies.map(tokenOf)).size).toBe(1);
    expect(minted()).toBe(1);
    const again = await broker.ask(jobs[0]?.token ?? "", demand);
    expect(again.body.tokens).toEqual(replies[0]?.body.tokens);
    expect(minted()).toBe(1);
  });

  it("keeps one token for a scope, however it is spelled, and another for another", async () => {
    const { token } = await broker.openJob();
    const both = { registry: "GHCR.IO:443", repositories: ["acme/base", "acme/app"] };
    const one = await broker.ask(token, both);
    const same = await broker.ask(token, { registry: "ghcr.io", repositories: ["acme/app", "acme/base", "acme/app"] });
    expect(tokenOf(same)).toBe(tokenOf(one));
    expect(minted()).toBe(1);
    expect(tokenOf(await broker.ask(token, demand))).not.toBe(tokenOf(one));
    expect(minted()).toBe(2);
  });

  it("serves a token that still lives while upstream is down", async () => {
    const { token } = await broker.openJob();
    const before = await broker.ask(token, demand);
    realm.fail("drop");
    const during = await broker.ask(token, demand);
    realm.heal();
    expect(tokenOf(during)).toBe(tokenOf(before));
  });

  it("serves no other factory", async () => {
    const other = await broker.service.createFactory();
    const operator = broker.service.as(broker.service.operatorToken);
    await operator.put(`/v1/factories/${other.name}/secrets/ghcr_creds`).send({ value: `first:${first}` });
    const put = operator.put(`/v1/factories/${other.name}/config`);
    await put.set("Content-Type", "application/yaml").send(config());
    const here = await broker.ask((await broker.openJob()).token, demand);
    const { token } = await broker.service.openJob(other.name);
    const there = await broker.service.as(token).post(`/v1/factories/${other.name}/registry-tokens`).send(demand);
    expect(there.status).toBe(200);
    expect(tokenOf(there)).not.toBe(tokenOf(here));
  });
});

describe.each(["the same replica", "another replica"])("at once, on %s,", (where) => {
  const there = (): TestService => (where === "another replica" ? otherReplica : broker.service);
  const warm = async (job: string): Promise<string> => {
    await broker.ask(job, demand, there());
    const reply = await broker.ask(job, demand, there());
    expect(reply.status).toBe(200);
    return tokenOf(reply);
  };

  it("a new version of the secret ends the use of the old token", async () => {
    const { token } = await broker.openJob();
    const old = await warm(token);
    await broker.putSecret("ghcr_creds", `second:${second}`);
    const reply = await broker.ask(token, demand, there());
    expect(tokenOf(reply)).not.toBe(old);
    expect(await pull(broker.clouds, "ghcr.io", "acme/app", authorizationOf(reply.body.tokens[0]))).toBe(200);
    const [row] = (await broker.events("registry-token.issued")).slice(-1);
    const [written] = (await broker.events("secret.written")).slice(-1);
    expect(row).toMatchObject({ secretVersion: written?.secretVersion });
  });

  it("an entry that is gone gives no token, and one that is new gives one", async () => {
    const { token } = await broker.openJob();
    await warm(token);
    await broker.putConfig(config(quay));
    const added = await broker.ask(token, { registry: "quay.example.test", repositories: ["acme/app"] }, there());
    expect(added.status).toBe(200);
    await broker.putConfig(`container_registries:\n${quay}`);
    expect((await broker.ask(token, demand, there())).body).toMatchObject({ code: "registry-unknown" });
  });

  it("a deleted secret opens nothing", async () => {
    const { token } = await broker.openJob();
    await warm(token);
    const path = `/v1/factories/${broker.factory.name}/secrets/ghcr_creds?force=true`;
    expect((await broker.service.as(broker.service.operatorToken).delete(path)).status).toBe(204);
    expect((await broker.ask(token, demand, there())).body).toMatchObject({ code: "secret-missing" });
  });

  it("an ended job gets 401", async () => {
    const { id, token } = await broker.openJob();
    await warm(token);
    const path = `/v1/factories/${broker.factory.name}/jobs/${id}`;
    expect((await broker.service.as(broker.service.operatorToken).delete(path)).status).toBe(204);
    const reply = await broker.ask(token, demand, there());
    expect(reply.body).toMatchObject({ status: 401, code: "unauthenticated" });
  });

  it.each([true, false])(
    "an ended job gets 401 instead of a refusal that no audit row goes with (allowPartial %s)",
    async (allowPartial) => {
      const { id, token } = await broker.openJob();
      await warm(token);
      const path = `/v1/factories/${broker.factory.name}/jobs/${id}`;
      await broker.service.as(broker.service.operatorToken).delete(path).expect(204);
      const unknown = { registry: "nowhere.example.test", repositories: ["acme/app"], allowPartial };
      expect((await broker.ask(token, unknown, there())).body).toMatchObject({ code: "unauthenticated" });
      expect((await broker.ask(token, { ...demand, minTtlSeconds: 3_000_000 }, there())).status).toBeGreaterThan(399);
    },
  );

  it("a job gets 401 from the moment at which it ends by the clock of the database", async () => {
    const { id, token } = await broker.openJob();
    await warm(token);
    await broker.service.database.pool.query("UPDATE credentials SET expires_at = now() WHERE id = $1", [id]);
    expect((await broker.ask(token, demand, there())).status).toBe(401);
  });

  it("the session of an OAuth client that is withdrawn gets 401", async () => {
    const operator = broker.service.as(broker.service.operatorToken);
    const path = `/v1/factories/${broker.factory.name}/oauth-clients`;
    const made = await operator
      .post(path)
      .send({ name: "ci", permissions: ["registry-tokens:issue"] })
      .expect(201);
    const opened = await broker.service
      .as(undefined)
      .post("/oauth/token")
      .type("form")
      .send({ grant_type: "client_credentials", client_id: made.body.id, client_secret: made.body.clientSecret });
    expect(opened.body).toMatchObject({ access_token: expect.any(String) });
    const access = opened.body.access_token;
    await warm(access);
    await operator.delete(`${path}/${made.body.id}`).expect(204);
    expect((await broker.ask(access, demand, there())).status).toBe(401);
  });

  it("a deleted API token gets 401, and so does the job that it opened", async () => {
    const permissions = ["registry-tokens:issue", "jobs:create"] as const;
    const api = await broker.service.createApiToken(broker.factory.name, permissions);
    const opened = await broker.service
      .as(api.token)
      .post(`/v1/factories/${broker.factory.name}/jobs`)
      .send({ name: "its" });
    await warm(api.token);
    await warm(opened.body.token);
    const path = `/v1/factories/${broker.factory.name}/api-tokens/${api.id}`;
    expect((await broker.service.as(broker.service.operatorToken).delete(path)).status).toBe(204);
    expect((await broker.ask(api.token, demand, there())).status).toBe(401);
    expect((await broker.ask(opened.body.token, demand, there())).status).toBe(401);
  });

  it("a deleted operator token gets 401", async () => {
    const operator = broker.service.as(broker.service.operatorToken);
    const made = await operator.post("/v1/operator-tokens").send({ name: "short lived" });
    await warm(made.body.token);
    expect((await operator.delete(`/v1/operator-tokens/${made.body.id}`)).status).toBe(204);
    expect((await broker.ask(made.body.token, demand, there())).status).toBe(401);
  });
});

it("a job that is ended between its request's headers and its body gets 401, though others have made the facts fresh", async () => {
  const { id, token } = await broker.openJob();
  const witness = (await broker.openJob()).token;
  await broker.ask(token, demand, otherReplica);
  const body = JSON.stringify(demand);
  const asked = request(`${otherReplica.url}/v1/factories/${broker.factory.name}/registry-tokens`, {
    method: "POST",
    headers: { "OSF-TOKEN": token, "Content-Type": "application/json", "Content-Length": body.length },
  });
  const answered = once(asked, "response");
  const isAuthenticated = new Promise<void>((resolve) =>
    otherReplica.server.once("request", () => setTimeout(resolve, 50)),
  );
  asked.flushHeaders();
  await isAuthenticated;
  await broker.service.as(broker.service.operatorToken).delete(`/v1/factories/${broker.factory.name}/jobs/${id}`);
  expect((await broker.ask(witness, demand, otherReplica)).status).toBe(200);
  asked.end(body);
  const [reply] = await answered;
  reply.resume();
  expect(reply.statusCode).toBe(401);
});

it.each([true, false])("a refusal too goes by what is true now (allowPartial %s)", async (allowPartial) => {
  const { token } = await broker.openJob();
  const more = { registry: "quay.example.test", repositories: ["acme/app"], allowPartial };
  await broker.putConfig(config());
  expect((await broker.ask(token, { ...more, registry: "ghcr.io" }, otherReplica)).status).toBe(200);
  await broker.putConfig(config(quay));
  const reply = await broker.ask(token, more, otherReplica);
  expect(reply.body.tokens).toMatchObject([{ registry: "quay.example.test" }]);
});
