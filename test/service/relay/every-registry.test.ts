import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { awsUser, type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { askRelay, errorOf } from "../../support/broker/relayed-factory.js";
import { policyAllowing } from "../../support/clouds/aws/iam-policy.js";
import type { CloudEndpoint } from "../../support/clouds/cloud-endpoint.js";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { secretValue } from "../../support/leak-watch.js";

const accountId = "123456789012";
const ecr = `${accountId}.dkr.ecr.us-east-2.amazonaws.com`;
const weakEcr = `${accountId}.dkr.ecr.eu-west-1.amazonaws.com`;
const gar = "us-docker.pkg.dev";
const tenantId = "11111111-2222-3333-4444-555555555555";
const puller = awsUser("4EXAMPLE");
const weak = awsUser("5EXAMPLE");

const config = `container_registries:
- { type: aws, url: ${ecr}, aws_creds_secret_name: aws_creds }
- { type: aws, url: ${weakEcr}, aws_creds_secret_name: aws_creds, profile: weak }
- { type: azure, url: tenantless.azurecr.io, azure_principal_secret_name: azure_creds }
- { type: azure, url: tenanted.azurecr.io, azure_principal_secret_name: azure_creds, azure_tenant_id: ${tenantId} }
- { type: gar, url: ${gar}, gar_creds_secret_name: gcp_creds }
- { type: generic, url: realm.example.test, generic_secret_name: docker_creds }
- { type: generic, url: ghcr.io, generic_secret_name: docker_creds }
- { type: generic, url: basic.example.test, generic_secret_name: docker_creds }
- { type: generic, url: passed.example.test, generic_secret_name: docker_creds, passThrough: true }
- { type: generic, url: open.example.test, generic_secret_name: docker_creds }
- { type: generic, url: thief.example.test, generic_secret_name: docker_creds }
- { type: generic, url: docker.io, generic_secret_name: docker_creds }
`;

let broker: BrokeredFactory;
let token: string;
let thief: CloudEndpoint;
const endpoints = new Map<string, CloudEndpoint>();
beforeAll(async () => {
  const azure = { clientId: "66666666-7777-8888-9999-000000000001", clientSecret: secretValue("azure") };
  const password = secretValue("docker");
  let googleFile = "";
  const open = ({ aws, azure: acr, google, docker }: StandInClouds) => {
    aws.iam.addUser({ accountId, userName: "puller4", ...puller });
    aws.iam.addUser({ accountId, userName: "weak5", ...weak, policy: policyAllowing(["ecr:*"]) });
    endpoints.set(ecr, aws.addRegistry(accountId, "us-east-2").endpoint);
    endpoints.set(weakEcr, aws.addRegistry(accountId, "eu-west-1").endpoint);
    const rights: Record<string, Record<string, readonly "pull"[]>> = {};
    for (const name of ["tenantless", "tenanted"]) {
      const { host, endpoint } = acr.addRegistry(name);
      endpoints.set(host, endpoint);
      rights[host] = { "team/app": ["pull"] };
    }
    acr.directory.addServicePrincipal({ tenantId, ...azure, rights });
    googleFile = google.addServiceAccount({ name: "relayed", readable: [`${gar}/team/app`] }).credentialsJson;
    endpoints.set(gar, google.addRegistry(gar).endpoint);
    const users = { ci: { password, rights: { "team/app": ["pull"], "library/app": ["pull"] } } } as const;
    const registries = [
      { host: "realm.example.test" },
      { host: "ghcr.io", tokenShape: "echo" },
      { host: "basic.example.test", auth: "basic" },
      { host: "passed.example.test", auth: "basic" },
      { host: "open.example.test", isRootOpen: true },
      { host: "thief.example.test", challenges: ['Bearer realm="https://attacker.example.test/token",service="x"'] },
      { host: "registry-1.docker.io", realmHost: "auth.docker.io" },
    ] as const;
    for (const options of registries) endpoints.set(options.host, docker.addRegistry({ ...options, users }).registry);
    thief = docker.addAttacker("attacker.example.test");
  };
  broker = await startBrokeredFactory(open, {}, undefined, { aws: { regions: ["us-east-2", "eu-west-1"] } });
  await broker.putSecret("aws_creds", `[default]\n${puller.section}[weak]\n${weak.section}`);
  await broker.putSecret("azure_creds", `${azure.clientId}:${azure.clientSecret}`);
  await broker.putSecret("gcp_creds", googleFile);
  await broker.putSecret("docker_creds", `ci:${password}`);
  await broker.putConfig(config);
  token = (await broker.openJob()).token;
});
afterAll(() => broker.close());
beforeEach(() => {
  for (const endpoint of endpoints.values()) endpoint.forget();
});

const pull = (registry: string, repository: string, reference = "single", as = token) =>
  askRelay(broker.service.url, `/v2/${broker.factory.name}/${registry}/${repository}/manifests/${reference}`, {
    authorization: `Bearer ${as}`,
  });

const all = [ecr, weakEcr, "tenantless.azurecr.io", "tenanted.azurecr.io", gar, "realm.example.test", "ghcr.io"];
const stored = ["basic.example.test", "passed.example.test", "open.example.test"];

describe("a manifest of", () => {
  it.each([...all, ...stored])(
    "%s is pulled through the relay, though no token of it could be handed out",
    async (host) => {
      expect(await pull(host, "team/app")).toMatchObject({
        status: 200,
        text: expect.stringContaining("schemaVersion"),
      });
    },
  );

  it.each([...all, "basic.example.test"])(
    "%s is pulled by a job for what it was opened for, and no more once it has ended",
    async (host) => {
      const job = await broker.openJob({ grants: [{ registry: host, repositories: ["team/app"] }] });
      expect((await pull(host, "team/app", "single", job.token)).status).toBe(200);
      const refused = await pull(host, "team/other", "single", job.token);
      expect([refused.status, errorOf(refused).code]).toEqual([403, "DENIED"]);
      expect(errorOf(refused).message).toContain("team/app");
      const path = `/v1/factories/${broker.factory.name}/jobs/${job.id}`;
      await broker.service.as(broker.service.operatorToken).delete(path).expect(204);
      expect((await pull(host, "team/app", "single", job.token)).status).toBe(401);
    },
  );

  it.each(["docker.io"])("%s is asked for where the registry is, by the name that it knows", async (host) => {
    expect((await pull(host, "app")).status).toBe(200);
    expect((await pull(host, "team/app")).status).toBe(200);
    const { requests = [] } = endpoints.get("registry-1.docker.io") ?? {};
    expect(requests.map(({ path }) => path)).toContain("/v2/library/app/manifests/single");
  });

  it.each([...all, "basic.example.test"].filter((host) => host !== ecr && host !== weakEcr))(
    "a repository of %s that the credential may not pull is 403, in words, and not asked for over and over",
    async (host) => {
      const reply = await pull(host, "team/forbidden");
      expect(reply.status).toBe(403);
      expect(errorOf(reply)).toMatchObject({ code: "DENIED", message: expect.stringContaining("team/forbidden") });
    },
  );
});

describe("the credential of the registry", () => {
  it("is narrowed where the cloud can, and that of a user who may not narrow it is used as it is", async () => {
    const { sts } = broker.clouds.aws;
    sts.forget();
    await pull(ecr, "team/narrow");
    expect(sts.calls("GetFederationToken")).toBe(1);
    expect(await pull(weakEcr, "team/broad")).toMatchObject({ status: 200 });
  });

  it("of Google is one for all repositories, that of a realm is one for each", async () => {
    const google = broker.clouds.google.token;
    google.forget();
    await Promise.all([pull(gar, "team/app"), pull(gar, "team/app/other"), pull(gar, "team/app/third")]);
    expect(google.requests.length).toBeLessThanOrEqual(1);
  });

  it("goes to no realm that is neither the registry's own nor allowed", async () => {
    thief.forget();
    expect((await pull("thief.example.test", "team/app")).status).toBe(403);
    expect(thief.requests).toEqual([]);
  });

  it("leaves the audit a row for each opening of the secret", async () => {
    const events = await broker.events("registry-token.refreshed");
    expect(events.some(({ registry, secret }) => registry === "basic.example.test" && secret === "docker_creds")).toBe(
      true,
    );
    expect(events.find(({ registry }) => registry === gar)).toMatchObject({ repositories: ["team/app"] });
  });

  it("is never handed out as a registry token", async () => {
    for (const host of [gar, "basic.example.test", weakEcr]) {
      const reply = await broker.ask(token, { registry: host, repositories: ["team/app"] });
      expect([host, reply.status, reply.body.code]).toEqual([host, 422, expect.any(String)]);
    }
  });

  it("is replaced once when the registry refuses it, and the client sees nothing of that", async () => {
    const host = "realm.example.test";
    await pull(host, "team/app");
    // Last, since the clouds live in another time from here on. The registry forgets its tokens, as after a change of its signing key.
    broker.clouds.clock.advance(301);
    expect((await pull(host, "team/app")).status).toBe(200);
    const { requests = [] } = endpoints.get(host) ?? {};
    expect(requests.filter(({ path }) => path.endsWith("/manifests/single")).length).toBeLessThanOrEqual(3);
  });
});
