import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createToken } from "../../../src/identity/token.js";
import {
  askRelay,
  basic,
  errorOf,
  type RelayedFactory,
  startRelayedFactory,
  tokenFor,
} from "../../support/broker/relayed-factory.js";
import { type Issued, makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, register } from "../../support/devices/device-service.js";
import { startTrustingFactory, type TrustingFactory } from "../oidc/tokens/trusting-factory.js";

describe("a workload with its own ID token", () => {
  let factory: TrustingFactory;
  let rule: string;
  let idToken: string;
  beforeAll(async () => {
    factory = await startTrustingFactory(["idp.example.test"]);
    const issuer = factory.issuers.of("idp.example.test");
    rule = await factory.trust({ issuer: issuer.url });
    idToken = issuer.sign({ project_id: "42" });
  });
  afterAll(() => factory.close());

  const path = (repository = "acme/app", name = factory.factory.name) =>
    `/v2/${name}/ghcr.io/${repository}/manifests/single`;
  const scope = () => `repository:${factory.factory.name}/ghcr.io/acme/app:pull`;
  const ask = (at: string, authorization: string) => askRelay(factory.service.url, at, { authorization });

  it("pulls with it as Bearer and as the password of Basic, within the grants of its rule", async () => {
    for (const authorization of [`Bearer ${idToken}`, basic("x", idToken)]) {
      expect((await ask(path(), authorization)).status).toBe(200);
      const refused = await ask(path("acme/base"), authorization);
      expect([refused.status, errorOf(refused).code]).toEqual([403, "DENIED"]);
    }
    const pulled = await factory.events("image.pulled");
    expect(pulled.at(-1)).toMatchObject({ evidence: { rules: [{ id: rule }] } });
  });

  it("exchanges it for a token, for the factory of the user name, else of the scope", async () => {
    const url = factory.service.url;
    for (const [user, scopes] of [
      [factory.factory.name, []],
      ["", [scope()]],
    ] as const) {
      const { access_token, expires_in } = await tokenFor(url, basic(user, idToken), scopes);
      expect(expires_in).toBeLessThanOrEqual(300);
      const reply = await ask(path(), `Bearer ${access_token}`);
      // The one that was asked for without a scope is good for no pull.
      expect(reply.status).toBe(scopes.length > 0 ? 200 : 401);
    }
  });

  it("tells strangers nothing of factories, in words or in time", async () => {
    const answers = [];
    for (const user of ["no-such-factory", (await factory.service.createFactory()).name]) {
      const begun = performance.now();
      const reply = await ask("/v2/token", basic(user, idToken));
      expect(performance.now() - begun).toBeGreaterThanOrEqual(95);
      answers.push([reply.status, reply.text]);
    }
    expect(answers[0]).toEqual(answers[1]);
    const pulls = [await ask(path("acme/app", "no-such-factory"), `Bearer ${idToken}`)];
    expect(pulls.map(({ status }) => status)).toEqual([401]);
  });

  it("is sent for a token where there is no factory to judge it", async () => {
    expect((await ask("/v2/", `Bearer ${idToken}`)).headers["www-authenticate"]).toMatch(/^Bearer realm=/);
    expect((await ask("/v2/", basic(factory.factory.name, idToken))).status).toBe(200);
  });

  it("pulls no more once its rule is gone", async () => {
    const { access_token } = await tokenFor(factory.service.url, basic("", idToken), [scope()]);
    expect((await ask(path(), `Bearer ${access_token}`)).status).toBe(200);
    await factory.distrust(rule);
    expect((await ask(path(), `Bearer ${access_token}`)).status).toBe(401);
    expect((await ask(path(), `Bearer ${idToken}`)).status).toBe(401);
  });
});

describe("a device with its certificate", () => {
  let files: Awaited<ReturnType<typeof makeServerFiles>>;
  let relay: RelayedFactory;
  let device: Issued & { id: string };
  let otherDevice: Issued;
  let foreign: Issued;
  beforeAll(async () => {
    files = await makeServerFiles();
    relay = await startRelayedFactory({
      ...files.environment,
      FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test",
    });
    const root = await makeRoot();
    const grants = [{ registry: "ghcr.io", repositories: ["acme/app"], actions: ["pull" as const] }];
    await register(relay.service, relay.factory, { certificates: [root], policy: { grants } });
    device = await makeDevice(root, relay.factory.name);
    otherDevice = await makeDevice(root, relay.factory.name);
    foreign = await makeDevice(await makeRoot(), relay.factory.name);
  });
  afterAll(async () => {
    await relay.close();
    await files.remove();
  });

  const name = (repository = "acme/app") => `${relay.factory.name}/ghcr.io/${repository}`;
  const as = (shown: Issued | undefined, path: string, authorization?: string) =>
    askRelay(relay.service.deviceUrl, path, {
      ...(shown && { cert: shown.pem, key: shown.keyPem }),
      ...(authorization !== undefined && { authorization }),
      agent: false,
    });

  it("pulls with nothing else, within its policy", async () => {
    expect((await as(device, "/v2/")).status).toBe(200);
    expect((await as(device, `/v2/${name()}/manifests/1`)).status).toBe(200);
    expect((await as(device, `/v2/${name()}/blobs/${relay.registry.image.config}`)).status).toBe(200);
    const refused = await as(device, `/v2/${name("acme/base")}/manifests/1`);
    expect([refused.status, errorOf(refused).code]).toEqual([403, "DENIED"]);
    expect((await relay.events("image.pulled")).at(-1)).toMatchObject({ actor: { kind: "device", id: device.id } });
  });

  it("is challenged at the port that it came to, when it shows none or one that nobody takes", async () => {
    const { host } = new URL(relay.service.deviceUrl);
    for (const shown of [undefined, foreign]) {
      const reply = await as(shown, `/v2/${name()}/manifests/1`);
      expect(reply.status).toBe(401);
      expect(reply.headers["www-authenticate"]).toContain(`realm="https://${host}/v2/token",service="${host}"`);
    }
  });

  it("gets a token that is good with its certificate and at its port alone", async () => {
    const scope = `repository:${name()}:pull`;
    const tls = { cert: device.pem, key: device.keyPem, agent: false } as const;
    const { access_token } = await tokenFor(relay.service.deviceUrl, undefined, [scope], tls);
    const authorization = `Bearer ${access_token}`;
    const path = `/v2/${name()}/manifests/1`;
    expect((await as(device, path, authorization)).status).toBe(200);
    expect((await as(otherDevice, path, authorization)).status).toBe(401);
    expect((await as(undefined, path, authorization)).status).toBe(401);
    expect((await askRelay(relay.service.url, path, { authorization })).status).toBe(401);
    const denials = `/v1/factories/${relay.factory.name}/denied-devices`;
    await relay.service.as(relay.service.operatorToken).post(denials).send({ deviceId: device.id }).expect(201);
    expect((await as(device, path, authorization)).status).toBe(401);
    expect((await as(device, `/v2/${name()}/blobs/${relay.registry.image.config}`)).status).toBe(401);
  });
});

describe("an address that many pull from", () => {
  const perMinute = 5;
  let relay: RelayedFactory;
  beforeAll(async () => {
    relay = await startRelayedFactory({
      FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: String(perMinute),
      FACTORY_SECRETS_TRUSTED_PROXIES: "127.0.0.1",
      FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test",
    });
  });
  afterAll(() => relay.close());

  const path = () => `/v2/${relay.factory.name}/ghcr.io/acme/app/manifests/1`;
  const from = (address: string, authorization?: string, at = path()) =>
    askRelay(relay.service.url, at, {
      headers: { "x-forwarded-for": address },
      ...(authorization !== undefined && { authorization }),
    });

  it("fails with garbage alone: not by asking without a credential, nor with one that has ended", async () => {
    const scope = `repository:${relay.factory.name}/ghcr.io/acme/app:pull`;
    const job = await relay.openJob();
    const { access_token } = await tokenFor(relay.service.url, basic("", job.token), [scope]);
    await relay.endJob(job.id);
    const harmless = [undefined, `Bearer ${job.token}`, basic("", job.token), `Bearer ${access_token}`];
    for (let time = 0; time < perMinute; time += 1) {
      for (const authorization of harmless) {
        expect((await from("192.0.2.1", authorization)).status).toBe(401);
        expect((await from("192.0.2.1", authorization, "/v2/token")).status).toBe(401);
      }
    }
  });

  it("is told to wait in the protocol's own form, but for what has worked before", async () => {
    const job = await relay.openJob();
    const scope = `repository:${relay.factory.name}/ghcr.io/acme/app:pull`;
    const { access_token } = await tokenFor(relay.service.url, basic("", job.token), [scope]);
    expect((await from("198.51.100.1", `Bearer ${access_token}`)).status).toBe(200);
    const garbage = [`Bearer ${createToken("job")}`, basic("x", createToken("job")), "Bearer nonsense"];
    for (let time = 0; time < perMinute; time += 1) await from("192.0.2.2", garbage[time % garbage.length]);
    for (const authorization of garbage) {
      const reply = await from("192.0.2.2", authorization);
      expect([reply.status, errorOf(reply).code]).toEqual([429, "TOOMANYREQUESTS"]);
      expect(Number(reply.headers["retry-after"])).toBeGreaterThan(0);
    }
    expect((await from("192.0.2.2")).status).toBe(401);
    expect((await from("192.0.2.2", `Bearer ${access_token}`)).status).toBe(200);
    expect((await from("192.0.2.2", basic("", job.token), "/v2/token")).status).toBe(200);
  });

  it("is challenged at the name that its proxy was asked by, and never at one that only Host says", async () => {
    const challenge = async (headers: Record<string, string>) =>
      (await askRelay(relay.service.url, "/v2/", { headers })).headers["www-authenticate"];
    expect(await challenge({ "x-forwarded-host": "mirror.example:8443", "x-forwarded-proto": "https" })).toContain(
      'realm="https://mirror.example:8443/v2/token",service="mirror.example:8443"',
    );
    expect(await challenge({ host: "evil.example" })).toContain('realm="https://secrets.example.test/v2/token"');
    expect(await challenge({ "x-forwarded-host": 'a",b="' })).toContain(
      'realm="https://secrets.example.test/v2/token"',
    );
  });
});
