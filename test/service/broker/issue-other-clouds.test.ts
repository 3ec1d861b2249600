import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  authorizationOf,
  type BrokeredFactory,
  pull,
  startBrokeredFactory,
} from "../../support/broker/brokered-factory.js";
import { unwatched, watched } from "../../support/leak-watch.js";

const tenantId = "11111111-2222-3333-4444-555555555555";
const clientId = "66666666-7777-8888-9999-000000000000";
const clientSecret = watched("not-a-real-secret-azure-5d1c");
const ghcrPassword = watched("not-a-real-secret-ghcr-77a1");
const passedOn = watched("not-a-real-secret-passed-on-31bb");
const basicPassword = watched("not-a-real-secret-basic-0c0c");
const acr = "example.azurecr.io";
const gar = "us-docker.pkg.dev";

const config = `container_registries:
- type: azure
  url: ${acr}
  azure_principal_secret_name: azprincipal
- type: gar
  gar_creds_secret_name: gcp_creds
- type: generic
  url: ghcr.io
  generic_secret_name: ghcr_creds
- type: generic
  url: basic.example.test
  generic_secret_name: basic_creds
- type: generic
  url: passed.example.test
  generic_secret_name: passed_creds
  passThrough: true
- type: generic
  url: hoped.example.test
  generic_secret_name: basic_creds
  passThrough: true
`;

let broker: BrokeredFactory;
let job: string;
beforeAll(async () => {
  let googleFile = "";
  broker = await startBrokeredFactory(
    (clouds) => {
      const { host } = clouds.azure.addRegistry("example");
      const rights = { [host]: { "team/app": ["pull"], "team/base": ["pull"] } } as const;
      clouds.azure.directory.addServicePrincipal({ tenantId, clientId, clientSecret, rights });
      googleFile = clouds.google.addServiceAccount({
        name: "puller",
        readable: [`${gar}/project/repo/`],
      }).credentialsJson;
      clouds.google.addRegistry(gar);
      const users = {
        ci: { password: ghcrPassword, rights: { "acme/base": ["pull"], "acme/app": ["pull"] } },
      } as const;
      clouds.docker.addRegistry({ host: "ghcr.io", users });
      for (const basicHost of ["basic.example.test", "passed.example.test", "hoped.example.test"]) {
        clouds.docker.addRegistry({ host: basicHost, auth: "basic", users });
      }
    },
    { FACTORY_SECRETS_PASS_THROUGH_HOSTS: "passed.example.test" },
  );
  await broker.putSecret("azprincipal", `${clientId}:${clientSecret}`);
  await broker.putSecret("gcp_creds", googleFile);
  await broker.putSecret("ghcr_creds", `ci:${ghcrPassword}\n`);
  await broker.putSecret("basic_creds", `ci:${basicPassword}`);
  await broker.putSecret("passed_creds", `ci:${passedOn}`);
  await broker.putConfig(config);
  job = (await broker.openJob()).token;
});
afterAll(() => broker.close());

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

describe("a bearer registry", () => {
  it.each([
    [acr, "azure", "team/app", "team/other"],
    ["ghcr.io", "generic", "acme/base", "acme/other"],
  ])("%s is answered with exactly the bearer of the contract, and it pulls", async (registry, type, mine, others) => {
    const reply = await broker.ask(job, { registry, repositories: [mine] });
    expect(reply.status).toBe(200);
    expect(reply.headers["cache-control"]).toBe("no-store");
    const bearer = expect.any(String);
    const times = { expiresAt: time, refreshAfter: time };
    const scope = { repositories: [mine], scopeEnforcedBy: "registry", scopeVerified: true, revocable: false };
    expect(reply.body).toEqual({ tokens: [{ registry, type, kind: "bearer", bearer, ...times, ...scope }] });
    const authorization = authorizationOf(reply.body.tokens[0]);
    expect(await pull(broker.clouds, registry, mine, authorization)).toBe(200);
    expect(await pull(broker.clouds, registry, others, authorization)).toBe(401);
  });

  it.each([
    [acr, "azure_tenant_id"],
    ["ghcr.io", "passThrough"],
  ])("%s needs repositories, and the answer names both ways out", async (registry, otherWay) => {
    const reply = await broker.ask(job, { registry });
    expect(reply.body).toMatchObject({ status: 422, code: "repositories-required" });
    expect(reply.body.detail).toContain('"repositories"');
    expect(reply.body.detail).toContain(otherWay);
  });

  it("is refused when the registry grants less than asked", async () => {
    const reply = await broker.ask(job, { registry: acr, repositories: ["team/app", "team/secret"] });
    expect(reply.body).toMatchObject({ status: 422, code: "scope-not-enforceable" });
  });
});

describe("Azure with a tenant in the secret", () => {
  const json = JSON.stringify({ appId: clientId, password: clientSecret, tenant: tenantId });

  it("gives a password for the whole registry, and a bearer for named repositories", async () => {
    await broker.putSecret("azprincipal", json);
    const whole = await broker.ask(job, { registry: acr });
    expect(whole.body.tokens).toEqual([
      {
        registry: acr,
        type: "azure",
        kind: "password",
        username: "00000000-0000-0000-0000-000000000000",
        password: expect.any(String),
        expiresAt: time,
        refreshAfter: time,
        scopeEnforcedBy: "none",
        revocable: false,
      },
    ]);
    const narrow = await broker.ask(job, { registry: acr, repositories: ["team/base"] });
    expect(narrow.body.tokens).toMatchObject([
      { kind: "bearer", repositories: ["team/base"], scopeEnforcedBy: "registry" },
    ]);
    expect(await pull(broker.clouds, acr, "team/base", authorizationOf(narrow.body.tokens[0]))).toBe(200);
    await broker.putSecret("azprincipal", `${clientId}:${clientSecret}`);
  });
});

describe("Artifact Registry", () => {
  it("without hosts needs one to be named, and takes only its own cloud's", async () => {
    expect((await broker.ask(job, { registry: "gar" })).body).toMatchObject({ status: 422, code: "registry-required" });
    expect((await broker.ask(job, { registry: "evil.example" })).body).toMatchObject({ code: "registry-unknown" });
    const reply = await broker.ask(job, { registry: gar });
    expect(reply.body.tokens).toMatchObject([
      { registry: gar, type: "gar", kind: "password", username: "oauth2accesstoken", scopeEnforcedBy: "none" },
    ]);
    const authorization = authorizationOf(reply.body.tokens[0]);
    expect(await pull(broker.clouds, gar, "project/repo/app", authorization)).toBe(200);
  });

  it("cannot hold to repositories: refused unless the caller takes a broader token", async () => {
    const demand = { registry: gar, repositories: ["project/repo/app"] };
    expect((await broker.ask(job, demand)).body).toMatchObject({ status: 422, code: "scope-not-enforceable" });
    const broader = await broker.ask(job, { ...demand, allowBroader: true });
    expect(broader.body.tokens).toMatchObject([{ scopeEnforcedBy: "none" }]);
    expect(broader.body.tokens[0]).not.toHaveProperty("repositories");
  });
});

describe("a registry that issues no tokens", () => {
  it("is refused with a sentence that says so", async () => {
    const reply = await broker.ask(job, { registry: "basic.example.test", repositories: ["acme/base"] });
    expect(reply.body).toMatchObject({ status: 422, code: "nothing-to-mint" });
    expect(reply.body.detail).toContain("passThrough");
  });

  it("is not passed on by the entry's word alone", async () => {
    const reply = await broker.ask(job, { registry: "hoped.example.test" });
    expect(reply.body).toMatchObject({ status: 422, code: "nothing-to-mint" });
    expect(reply.body.detail).toContain("operator");
  });

  it("passes the stored credential on where the operator allows that host, and says so everywhere", async () => {
    unwatched(passedOn);
    const reply = await broker.ask(job, { registry: "passed.example.test" });
    expect(reply.body.tokens).toMatchObject([
      { kind: "password", username: "ci", password: passedOn, raw: true, scopeEnforcedBy: "none" },
    ]);
    expect((await broker.events("registry-token.issued")).at(-1)).toMatchObject({ raw: true, secret: "passed_creds" });
    const narrow = await broker.ask(job, { registry: "passed.example.test", repositories: ["acme/base"] });
    expect(narrow.body).toMatchObject({ status: 422, code: "scope-not-enforceable" });
  });
});

describe("formats", () => {
  it("docker-config is a complete config.json, with bearers as registrytoken", async () => {
    const requests = [{ registry: gar }, { registry: "ghcr.io", repositories: ["acme/base"] }];
    const reply = await broker.ask(job, { requests, format: "docker-config" });
    expect(reply.status).toBe(200);
    expect(reply.headers["cache-control"]).toBe("no-store");
    expect(reply.body).toEqual({
      auths: { [gar]: { auth: expect.any(String) }, "ghcr.io": { registrytoken: expect.any(String) } },
    });
    const basic = `Basic ${reply.body.auths[gar].auth}`;
    expect(await pull(broker.clouds, gar, "project/repo/app", basic)).toBe(200);
    const bearer = `Bearer ${reply.body.auths["ghcr.io"].registrytoken}`;
    expect(await pull(broker.clouds, "ghcr.io", "acme/base", bearer)).toBe(200);
  });

  it("kubernetes-secret is a manifest; a bearer in it is refused, naming who can use one", async () => {
    const reply = await broker.ask(job, { registry: gar, format: "kubernetes-secret" });
    expect(reply.body).toMatchObject({ apiVersion: "v1", kind: "Secret", type: "kubernetes.io/dockerconfigjson" });
    const dockerConfig = JSON.parse(reply.body.stringData[".dockerconfigjson"]);
    expect(Object.keys(dockerConfig.auths)).toEqual([gar]);
    const bearer = { registry: "ghcr.io", repositories: ["acme/base"], format: "kubernetes-secret" };
    const refused = await broker.ask(job, bearer);
    expect(refused.body).toMatchObject({ status: 422, code: "not-representable" });
    expect(refused.body.detail).toMatch(/skopeo/);
    expect(refused.headers["cache-control"]).toBe("no-store");
  });

  it("login is one user and password", async () => {
    const reply = await broker.ask(job, { registry: gar, format: "login" });
    expect(reply.body).toEqual({ username: "oauth2accesstoken", password: expect.any(String) });
    const bearer = await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/base"], format: "login" });
    expect(bearer.body).toMatchObject({ code: "not-representable" });
    const two = { requests: [{ registry: gar }, { registry: gar }], format: "login" };
    expect((await broker.ask(job, two)).body).toMatchObject({ code: "registry-required" });
  });
});

describe("many registries in one request", () => {
  it("are answered in the order of the request", async () => {
    const requests = [
      { registry: "ghcr.io", repositories: ["acme/app"] },
      { registry: acr, repositories: ["team/app"] },
      { registry: gar },
    ];
    const reply = await broker.ask(job, { requests });
    expect(reply.body.tokens.map((token: { registry: string }) => token.registry)).toEqual(["ghcr.io", acr, gar]);
  });

  it("fail together, and the problem lists each with its own code", async () => {
    const reply = await broker.ask(job, {
      requests: [{ registry: gar }, { registry: acr }, { registry: "nowhere.example" }],
    });
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expect(reply.body).not.toHaveProperty("tokens");
    expect(reply.body.failures).toEqual([
      { registry: acr, code: "repositories-required", message: expect.any(String) },
      { registry: "nowhere.example", code: "registry-unknown", message: expect.any(String) },
    ]);
  });

  it("are answered in part with allowPartial, the failures beside the tokens", async () => {
    const reply = await broker.ask(job, { requests: [{ registry: gar }, { registry: acr }], allowPartial: true });
    expect(reply.status).toBe(200);
    expect(reply.body.tokens).toHaveLength(1);
    expect(reply.body.failures).toMatchObject([{ registry: acr, code: "repositories-required" }]);
    const whole = await broker.ask(job, { allowPartial: true });
    const answered = [...whole.body.tokens, ...whole.body.failures].map(
      ({ registry }: { registry: string }) => registry,
    );
    expect(answered.sort()).toEqual(
      [acr, "basic.example.test", "gar", "ghcr.io", "hoped.example.test", "passed.example.test"].sort(),
    );
  });

  it("name a secret that does not exist, with the command that creates it", async () => {
    await broker.service
      .as(broker.service.operatorToken)
      .delete(`/v1/factories/${broker.factory.name}/secrets/ghcr_creds?force=true`);
    const reply = await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/base"] });
    expect(reply.body).toMatchObject({ status: 422, code: "secret-missing" });
    expect(reply.body.detail).toContain("fioctl secrets update ghcr_creds=");
    await broker.putSecret("ghcr_creds", `ci:${ghcrPassword}`);
    expect((await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/base"] })).status).toBe(200);
  });
});

describe("a stated minTtlSeconds", () => {
  it("that the registry cannot meet is 422 with the life on offer", async () => {
    const reply = await broker.ask(job, { registry: gar, minTtlSeconds: 7_200 });
    expect(reply.body).toMatchObject({ status: 422, code: "ttl-not-available" });
    expect(reply.body.detail).toMatch(/35\d\d s|3600 s/);
    expect((await broker.ask(job, { registry: gar, minTtlSeconds: 3_000 })).status).toBe(200);
  });
});

it.each([
  ["repositories without a registry", { repositories: ["a"] }],
  ["requests and registry", { requests: [{ registry: gar }], registry: gar }],
  ["an unknown member", { registries: [gar] }],
  ["a repository with a wildcard", { registry: gar, repositories: ["team/*"] }],
])("refuses %s as an invalid request", async (_what, body) => {
  const reply = await broker.ask(job, body);
  expect(reply.status).toBe(400);
  expect(reply.headers["content-type"]).toContain("application/problem+json");
});
