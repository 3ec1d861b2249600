import jwt from "jsonwebtoken";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  askRelay,
  basic,
  errorOf,
  otherHost,
  type RelayedFactory,
  startRelayedFactory,
  tokenFor,
} from "../../support/broker/relayed-factory.js";
import { startTestService, type TestService } from "../../support/test-service.js";

let relay: RelayedFactory;
let otherReplica: TestService;
beforeAll(async () => {
  const settings = { FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" };
  relay = await startRelayedFactory(settings, "a new database");
  otherReplica = await startTestService(relay.environment, relay.service);
  // Nothing is announced in this file: "at once" must hold without any message between replicas.
  await relay.service.database.pool.query(
    `ALTER TABLE factories DISABLE TRIGGER factories_announce_generation;
     ALTER TABLE installation DISABLE TRIGGER installation_announce_generation;
     ALTER TABLE credentials DISABLE TRIGGER credentials_announce_withdrawal`,
  );
});
afterAll(async () => {
  await otherReplica.close();
  await relay.close();
});
beforeEach(() => {
  relay.registry.asked.length = 0;
});

const name = (repository = "acme/app", host = "ghcr.io"): string => `${relay.factory.name}/${host}/${repository}`;
const scope = (repository?: string): string => `repository:${name(repository)}:pull`;
const bearer = async (token: string, repository?: string): Promise<string> => {
  const { access_token } = await tokenFor(relay.service.url, basic("any", token), [scope(repository)]);
  return `Bearer ${access_token}`;
};
const ask = (path: string, options: Parameters<typeof askRelay>[2] = {}, service = relay.service) =>
  askRelay(service.url, path, options);

describe("a pull through the relay", () => {
  it("begins with a challenge that names where to get a token, and for what", async () => {
    const reply = await ask(`/v2/${name()}/manifests/1`);
    expect(reply.status).toBe(401);
    expect(reply.headers["www-authenticate"]).toBe(
      `Bearer realm="https://secrets.example.test/v2/token",service="secrets.example.test",scope="${scope()}"`,
    );
    expect(errorOf(reply).code).toBe("UNAUTHORIZED");
    expect(relay.registry.asked).toEqual([]);
  });

  it("gives manifest and layers as the registry sent them, to a token of five minutes that can only pull", async () => {
    const job = await relay.openJob();
    const given = await tokenFor(relay.service.url, basic("", job.token), [`repository:${name()}:pull,push`]);
    expect(given).toMatchObject({ scope: scope(), expires_in: 300, token: given.access_token });
    expect(jwt.decode(given.access_token)).toMatchObject({
      access: [{ type: "repository", name: name(), actions: ["pull"] }],
    });
    const authorization = `Bearer ${given.access_token}`;
    const { image } = relay.registry;
    const head = await ask(`/v2/${name()}/manifests/1`, { method: "HEAD", authorization });
    expect(head).toMatchObject({ status: 200, text: "" });
    expect(head.headers).toMatchObject({
      "docker-content-digest": image.digest,
      "content-length": String(image.manifest.length),
    });
    const manifest = await ask(`/v2/${name()}/manifests/1`, { authorization });
    expect(manifest).toMatchObject({ status: 200, text: image.manifest });
    expect(manifest.headers).toMatchObject({
      "docker-content-digest": image.digest,
      "cache-control": "no-store",
      "x-request-id": (await relay.events("image.pulled")).at(-1)?.requestId,
    });
    for (const digest of [image.config, ...image.layers]) {
      expect(await ask(`/v2/${name()}/blobs/${digest}`, { authorization })).toMatchObject({ status: 200 });
    }
  });

  it.each([
    ["a job's token as Bearer", (token: string) => `Bearer ${token}`],
    ["a job's token as the password of Basic", (token: string) => basic("whoever", token)],
  ])("takes %s at once, for clients that do not exchange it", async (_what, authorizationOf) => {
    const authorization = authorizationOf((await relay.openJob()).token);
    expect(await ask("/v2/", { authorization })).toMatchObject({ status: 200, text: "{}" });
    expect(await ask(`/v2/${name()}/manifests/1`, { authorization })).toMatchObject({ status: 200 });
  });

  it("finds a registry with a port, and one that is said by ns", async () => {
    const authorization = `Bearer ${(await relay.openJob()).token}`;
    const { name: factory } = relay.factory;
    const paths = [
      `/v2/${name("acme/app", "registry.relay.example_5000")}/manifests/1`,
      `/v2/${factory}/acme/app/manifests/1?ns=${encodeURIComponent(otherHost)}`,
      `/v2/${factory}/acme/app/manifests/1?ns=ghcr.io`,
      `/v2/${factory}/ghcr.io/acme/app/manifests/1?ns=ghcr.io`,
      `/v2/${name()}/manifests/1?ns=127.0.0.1`,
      `/v2/${name()}/manifests/1?ns=secrets.example.test`,
      `/v2/${name("blobs/tags")}/manifests/1`,
    ];
    for (const path of paths) expect([path, (await ask(path, { authorization })).status]).toEqual([path, 200]);
    const challenged = await ask(`/v2/${factory}/acme/app/manifests/1?ns=${encodeURIComponent(otherHost)}`);
    expect(challenged.headers["www-authenticate"]).toContain(
      `scope="repository:${factory}/registry.relay.example_5000/acme/app:pull"`,
    );
  });

  it("pages through tags at the relay, in the form that was asked in, and lists referrers", async () => {
    const authorization = `Bearer ${(await relay.openJob()).token}`;
    const tags = await ask(`/v2/${name()}/tags/list?n=1`, { authorization });
    expect(tags.headers.link).toBe(`</v2/${name()}/tags/list?n=1&last=1>; rel="next"`);
    const { name: factory } = relay.factory;
    const byNamespace = await ask(`/v2/${factory}/acme/app/tags/list?n=1&ns=ghcr.io`, { authorization });
    expect(byNamespace.headers.link).toBe(`</v2/${factory}/acme/app/tags/list?n=1&last=1&ns=ghcr.io>; rel="next"`);
    const referrers = await ask(`/v2/${name()}/referrers/${relay.registry.image.digest}`, { authorization });
    expect(referrers.headers["oci-filters-applied"]).toBe("artifactType");
  });
});

describe("who may pull what", () => {
  it("says 403 and our sentence where the grants end, and in the reason phrase of a HEAD", async () => {
    const job = await relay.openJob(["acme/base"]);
    const given = await tokenFor(relay.service.url, basic("", job.token), [scope("acme/app"), scope("acme/base")]);
    expect(given.scope).toBe(scope("acme/base"));
    const authorization = `Bearer ${given.access_token}`;
    const refused = await ask(`/v2/${name()}/manifests/1`, { authorization });
    expect(refused.status).toBe(403);
    expect(errorOf(refused)).toMatchObject({
      code: "DENIED",
      message: expect.stringContaining("acme/base"),
    });
    const head = await ask(`/v2/${name()}/manifests/1`, { authorization, method: "HEAD" });
    expect(head).toMatchObject({ status: 403, reason: errorOf(refused).message });
    expect(relay.registry.asked).toEqual([]);
    expect(await relay.events("request.refused")).toContainEqual(
      expect.objectContaining({ route: "relayManifest", code: "outside-grants" }),
    );
  });

  it("asks for another token where the caller may pull and the token is for something else", async () => {
    const { token } = await relay.openJob();
    const reply = await ask(`/v2/${name("acme/base")}/manifests/1`, { authorization: await bearer(token) });
    expect(reply.status).toBe(401);
    expect(reply.headers["www-authenticate"]).toContain(`scope="${scope("acme/base")}",error="insufficient_scope"`);
  });

  it("does not know another factory, nor a registry that no entry names", async () => {
    const other = await relay.service.createFactory();
    const { token } = await relay.service.openJob(other.name);
    for (const path of [`/v2/${name()}/manifests/1`, `/v2/no-such-factory/ghcr.io/acme/app/manifests/1`]) {
      const reply = await ask(path, { authorization: `Bearer ${token}` });
      expect([reply.status, errorOf(reply).code]).toEqual([404, "NAME_UNKNOWN"]);
    }
    const own = await relay.openJob();
    const unknown = await ask(`/v2/${name("acme/app", "quay.io")}/manifests/1`, {
      authorization: `Bearer ${own.token}`,
    });
    expect([unknown.status, errorOf(unknown).code]).toEqual([404, "NAME_UNKNOWN"]);
    expect((await tokenFor(relay.service.url, basic("", token), [scope()])).scope).toBe("");
  });

  it("judges what ns and the path say together, and asks for nothing else", async () => {
    const authorization = `Bearer ${(await relay.openJob(["acme/app"])).token}`;
    const { name: factory } = relay.factory;
    for (const path of [
      // The registry is the one of ns, and the other one is a part of the repository's name.
      `/v2/${factory}/quay.io/acme/app/manifests/1?ns=ghcr.io`,
      `/v2/${name()}/manifests/1?ns=${encodeURIComponent(otherHost)}`,
      `/v2/${factory}/acme/app/manifests/1?ns=${encodeURIComponent(otherHost)}`,
    ]) {
      const reply = await ask(path, { authorization });
      expect([path, reply.status, errorOf(reply).code]).toEqual([path, 403, "DENIED"]);
    }
    expect(relay.registry.asked).toEqual([]);
  });

  it("takes a token of the relay in no factory but its own", async () => {
    const other = await relay.service.createFactory();
    const { token } = await relay.openJob();
    const authorization = await bearer(token);
    expect((await ask(`/v2/${name()}/manifests/1`, { authorization })).status).toBe(200);
    relay.registry.asked.length = 0;
    const reply = await ask(`/v2/${other.name}/ghcr.io/acme/app/manifests/1`, { authorization });
    expect([reply.status, errorOf(reply).code]).toEqual([404, "NAME_UNKNOWN"]);
    expect(relay.registry.asked).toEqual([]);
  });

  it("refuses a credential that lacks the permission", async () => {
    const { token } = await relay.service.createApiToken(relay.factory.name, ["secrets:list"]);
    const reply = await ask(`/v2/${name()}/manifests/1`, { authorization: `Bearer ${token}` });
    expect([reply.status, errorOf(reply).message]).toEqual([403, expect.stringContaining("registry-tokens:issue")]);
    const login = await ask("/v2/token", { authorization: basic("", token) });
    expect([login.status, errorOf(login).message]).toEqual([401, expect.stringContaining("registry-tokens:issue")]);
    expect(await relay.events("request.refused")).toContainEqual(
      expect.objectContaining({ route: "relayToken", code: "forbidden" }),
    );
  });

  it.each(["the replica that it pulled from", "another replica"])(
    "refuses the next layer of a job that has ended, on %s",
    async (where) => {
      const service = where === "another replica" ? otherReplica : relay.service;
      const job = await relay.openJob();
      const authorization = await bearer(job.token);
      const [first, second] = relay.registry.image.layers;
      expect((await ask(`/v2/${name()}/manifests/1`, { authorization }, service)).status).toBe(200);
      expect((await ask(`/v2/${name()}/blobs/${first}`, { authorization }, service)).status).toBe(200);
      await relay.endJob(job.id);
      expect((await ask(`/v2/${name()}/blobs/${second}`, { authorization }, service)).status).toBe(401);
      expect((await ask(`/v2/${name()}/manifests/1`, { authorization }, service)).status).toBe(401);
      expect((await ask(`/v2/${name()}/tags/list`, { authorization }, service)).status).toBe(401);
    },
  );

  it("refuses the next request on another replica once the entry is gone, and lets it through again with it", async () => {
    const { token } = await relay.openJob();
    const authorization = await bearer(token);
    const blob = `/v2/${name()}/blobs/${relay.registry.image.layers[0]}`;
    expect((await ask(blob, { authorization }, otherReplica)).status).toBe(200);
    await relay.putConfig("container_registries: []\n");
    expect((await ask(blob, { authorization }, otherReplica)).status).toBe(404);
    expect((await ask(`/v2/${name()}/manifests/1`, { authorization }, otherReplica)).status).toBe(404);
    await relay.putConfig();
    expect((await ask(blob, { authorization }, otherReplica)).status).toBe(200);
  });
});

describe("what the audit and the reports say of pulls", () => {
  it("tells of each manifest that left, by whom, and by which version of the secret", async () => {
    const job = await relay.openJob();
    const authorization = `Bearer ${job.token}`;
    const { digest } = relay.registry.image;
    await ask(`/v2/${name()}/manifests/1`, { authorization });
    await ask(`/v2/${name()}/manifests/${digest}`, { authorization });
    const pulled = (await relay.events("image.pulled")).slice(-2);
    const expected = {
      actor: { kind: "job", id: job.id, name: "test job" },
      registry: "ghcr.io",
      repository: "acme/app",
      digest,
      secret: "ghcr_creds",
      secretVersion: 1,
    };
    expect(pulled).toEqual([
      expect.objectContaining({ ...expected, reference: "1" }),
      expect.objectContaining(expected),
    ]);
    expect(pulled[1]).not.toHaveProperty("reference");
  });

  it("counts HEADs and lists instead, and writes nothing of layers", async () => {
    const job = await relay.openJob();
    const authorization = `Bearer ${job.token}`;
    for (let time = 0; time < 5; time += 1) {
      await ask(`/v2/${name()}/manifests/1`, { authorization, method: "HEAD" });
      await ask(`/v2/${name()}/blobs/${relay.registry.image.layers[0]}`, { authorization });
    }
    const looks = (await relay.events("image.looked-up")).filter(({ actor }) => JSON.stringify(actor).includes(job.id));
    expect(looks).toEqual([expect.objectContaining({ of: "manifest", repository: "acme/app" })]);
    expect(JSON.stringify(await relay.events("image.pulled"))).not.toContain(job.id);
  });

  it("sends nothing of a manifest whose event cannot be written", async () => {
    const { token } = await relay.openJob();
    const { pool } = relay.service.database;
    await pool.query(
      `CREATE FUNCTION refuse_pulled() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.action = 'image.pulled' THEN RAISE EXCEPTION 'not today'; END IF; RETURN NEW; END $$;
       CREATE TRIGGER refuse_pulled BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION refuse_pulled()`,
    );
    const reply = await ask(`/v2/${name()}/manifests/1`, { authorization: `Bearer ${token}` });
    await pool.query("DROP FUNCTION refuse_pulled CASCADE");
    expect(reply.status).toBe(500);
    expect(reply.text).not.toContain("layers");
  });

  it("is in the usage of the secret", async () => {
    const job = await relay.openJob();
    await ask(`/v2/${name()}/manifests/1`, { authorization: `Bearer ${job.token}` });
    const path = `/v1/factories/${relay.factory.name}/secrets/ghcr_creds/usage`;
    await expect
      .poll(async () => (await relay.service.as(relay.service.operatorToken).get(path)).text)
      .toContain(job.id);
  });
});

describe("the token endpoint", () => {
  const form = (fields: Record<string, string>) => ({
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams(fields).toString(),
  });

  it("answers a login that asks for nothing", async () => {
    const { token } = await relay.openJob();
    expect(await tokenFor(relay.service.url, basic("x", token), [])).toMatchObject({ scope: "" });
  });

  it.each(["password", "refresh_token"] as const)("answers a form of %s, in pieces", async (grantType) => {
    const { token } = await relay.openJob();
    const fields = { grant_type: grantType, service: "s", client_id: "c", username: "u", [grantType]: token };
    const reply = await ask("/v2/token", form({ ...fields, scope: `${scope()} ${scope("acme/base")}` }));
    expect(reply.status).toBe(200);
    const body = JSON.parse(reply.text);
    expect(Object.keys(body).sort()).toEqual(["access_token", "expires_in", "issued_at", "scope"]);
    expect(body.scope).toBe(`${scope()} ${scope("acme/base")}`);
    const authorization = `Bearer ${body.access_token}`;
    expect((await ask(`/v2/${name("acme/base")}/manifests/1`, { authorization })).status).toBe(200);
  });

  it("leaves out of several scopes what is unknown, and what is no scope", async () => {
    const { token } = await relay.openJob();
    const asked = [
      scope(),
      "repository:acme/app:pull",
      "registry:catalog:*",
      `repository:${name()}:push`,
      `repository:${name().toUpperCase()}:pull`,
      "nonsense",
    ];
    expect((await tokenFor(relay.service.url, basic("", token), asked)).scope).toBe(scope());
  });

  it("gives no token for a token of its own, nor one that outlives its job", async () => {
    const seconds = 120;
    const job = await relay.service.openJob(relay.factory.name, { ttlSeconds: seconds });
    const given = await tokenFor(relay.service.url, basic("", job.token), [scope()]);
    expect(given.expires_in).toBeLessThanOrEqual(seconds);
    const again = await ask("/v2/token", { authorization: basic("", given.access_token) });
    expect([again.status, errorOf(again).code]).toEqual([401, "UNAUTHORIZED"]);
  });

  it("answers a bad credential, and a form that asks for something else, 401 with a body", async () => {
    for (const options of [
      {},
      { authorization: basic("x", "garbage") },
      form({ grant_type: "client_credentials" }),
      form({ grant_type: "password", username: "x" }),
    ]) {
      const reply = await ask("/v2/token", options);
      expect([reply.status, errorOf(reply).code]).toEqual([401, "UNAUTHORIZED"]);
    }
  });

  it("gives tokens that are good nowhere else", async () => {
    const { token } = await relay.openJob();
    const authorization = await bearer(token);
    const reply = await relay.service.as(undefined).get("/v1/whoami").set("Authorization", authorization);
    expect(reply.status).toBe(401);
  });
});
