import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { awsUser, type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import type { CloudEndpoint } from "../../support/clouds/cloud-endpoint.js";
import { watched } from "../../support/leak-watch.js";

const password = watched("not-a-real-secret-trouble-6a6a");
const tenantId = "11111111-2222-3333-4444-555555555555";
const user = awsUser("4EXAMPLE");
const hosts = ["one", "two", "three", "four", "five", "six"].map((name) => `${name}.example.test`);
const upstreams = new Map<string, CloudEndpoint>();
const repositories = ["acme/app"];

let broker: BrokeredFactory;
let job: string;
beforeAll(async () => {
  broker = await startBrokeredFactory(
    (clouds) => {
      for (const host of hosts) {
        const users = { ci: { password, rights: { "acme/app": ["pull"] } } } as const;
        upstreams.set(host, clouds.docker.addRegistry({ host, users }).registry);
      }
      const realmHost = "auth.seven.example.test";
      const users = { ci: { password, rights: {} } };
      upstreams.set(
        "seven.example.test",
        clouds.docker.addRegistry({ host: "seven.example.test", realmHost, users }).realm,
      );
      clouds.azure.addRegistry("example");
      clouds.aws.iam.addUser({ accountId: "123456789012", userName: "puller", ...user });
    },
    { FACTORY_SECRETS_ALLOWED_REALMS: "seven.example.test=auth.seven.example.test" },
  );
  await broker.putSecret("creds", `ci:${password}`);
  await broker.putSecret("aws_creds", `[default]\n${user.section}`);
  await broker.putSecret("azprincipal", JSON.stringify({ appId: "nobody", password, tenant: tenantId }));
  const generic = [...hosts, "seven.example.test"].map(
    (url) => `- type: generic\n  url: ${url}\n  generic_secret_name: creds\n`,
  );
  await broker.putConfig(`container_registries:
- type: aws
  region: us-east-2
  aws_creds_secret_name: aws_creds
- type: azure
  url: example.azurecr.io
  azure_principal_secret_name: azprincipal
${generic.join("")}`);
  job = (await broker.openJob()).token;
});
afterAll(() => broker.close());
afterEach(() => {
  for (const endpoint of [...upstreams.values(), broker.clouds.aws.ecr, broker.clouds.azure.entra]) endpoint.heal();
});

const upstream = (host: string): CloudEndpoint => {
  const endpoint = upstreams.get(host);
  if (!endpoint) throw new Error(`no registry ${host}`);
  return endpoint;
};

describe("upstream trouble is a problem that a person can act on", () => {
  it.each([
    ["one.example.test", "throttle", 429, "upstream-throttled"],
    ["seven.example.test", "garbage", 502, "upstream-invalid"],
    ["seven.example.test", "empty-object", 502, "upstream-invalid"],
    ["one.example.test", "huge", 502, "upstream-invalid"],
    ["two.example.test", "drop", 502, "upstream-unreachable"],
    ["two.example.test", "server-error", 502, "upstream-unreachable"],
  ] as const)("%s: %s is %d %s, and names no secret's value", async (host, fault, status, code) => {
    upstream(host).fail(fault);
    // Of its own: what fails again for the same caller within a minute is counted.
    const { token } = await broker.openJob();
    const reply = await broker.ask(token, { registry: host, repositories });
    expect(reply.body).toMatchObject({ status, code });
    expect(reply.body.detail).toContain(host);
    expect(reply.headers["cache-control"]).toBe("no-store");
    if (status === 429) expect(Number(reply.headers["retry-after"])).toBeGreaterThan(0);
    const [row] = (await broker.events("registry-token.failed")).slice(-1);
    expect(row).toMatchObject({ code, registry: host, secret: "creds", requestId: reply.body.requestId });
  });

  it("AWS that still throttles after the SDK's own retries is 429 with Retry-After", async () => {
    broker.clouds.aws.ecr.fail("throttle");
    const reply = await broker.ask(job, { registry: "aws:us-east-2" });
    expect(reply.body).toMatchObject({ status: 429, code: "upstream-throttled" });
    expect(Number(reply.headers["retry-after"])).toBeGreaterThan(0);
    expect(broker.clouds.aws.ecr.requests.length).toBeGreaterThan(1);
  });

  it("a refusal names the secret, its version, the entry and the AADSTS code, and nothing of the body", async () => {
    const reply = await broker.ask(job, { registry: "example.azurecr.io" });
    expect(reply.body).toMatchObject({ status: 502, code: "upstream-refused" });
    expect(reply.body.detail).toContain('secret "azprincipal" (version 1) of registry entry "example.azurecr.io"');
    expect(reply.body.detail).toMatch(/AADSTS\d+/);
    expect(reply.text).not.toMatch(/Trace ID|trace_id|correlation/i);
  });

  it("is over as soon as upstream is well again", async () => {
    const demand = { registry: "three.example.test", repositories };
    upstream("three.example.test").fail("drop", 1);
    expect((await broker.ask(job, demand)).status).toBe(502);
    expect((await broker.ask(job, demand)).status).toBe(200);
  });
});

describe("a registry that is down", () => {
  it("that stalls is given up after 5 s, while the others answer at once", async () => {
    upstream("four.example.test").fail("stall");
    const startedAt = performance.now();
    let isGivenUp = false;
    const stalled = broker.ask(job, { registry: "four.example.test", repositories }).finally(() => {
      isGivenUp = true;
    });
    await upstream("four.example.test").received(1);
    const other = await broker.ask(job, { registry: "five.example.test", repositories });
    expect([other.status, isGivenUp]).toEqual([200, false]);
    const reply = await stalled;
    expect(reply.body).toMatchObject({ status: 504, code: "upstream-timeout" });
    // By which of its limits, it says: the registry would be silent for ever.
    expect(reply.body.detail).toContain("four.example.test did not answer within 5 s.");
    expect((performance.now() - startedAt) / 1_000).toBeGreaterThan(4.5);
  });

  it("is not called any more after five failures in a row, and the others stay as fast as they were", async () => {
    const down = upstream("six.example.test");
    down.fail("drop");
    const demand = { registry: "six.example.test", repositories };
    for (let i = 0; i < 5; i += 1) expect((await broker.ask(job, demand)).body.code).toBe("upstream-unreachable");
    const called = down.requests.length;
    const paused = await broker.ask(job, demand);
    expect(paused.body).toMatchObject({ status: 503, code: "upstream-circuit-open" });
    expect(Number(paused.headers["retry-after"])).toBeGreaterThan(0);
    expect(down.requests.length).toBe(called);
    const partial = await broker.ask(job, {
      requests: [demand, { registry: "five.example.test", repositories }],
      allowPartial: true,
    });
    expect(partial.body).toMatchObject({
      tokens: [{ registry: "five.example.test" }],
      failures: [{ registry: "six.example.test", code: "upstream-circuit-open" }],
    });
  });
});
