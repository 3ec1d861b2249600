import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  authorizationOf,
  type BrokeredFactory,
  pull,
  startBrokeredFactory,
} from "../../support/broker/brokered-factory.js";
import { watched } from "../../support/leak-watch.js";

const password = watched("not-a-real-secret-grants-1f2e");
const gar = "us-docker.pkg.dev";
const config = `container_registries:
- type: generic
  url: ghcr.io
  generic_secret_name: ghcr_creds
- type: generic
  url: quay.example.test
  generic_secret_name: ghcr_creds
- type: gar
  gar_creds_secret_name: gcp_creds
`;

let broker: BrokeredFactory;
beforeAll(async () => {
  let googleFile = "";
  broker = await startBrokeredFactory((clouds) => {
    const rights = { "acme/app": ["pull"], "acme/base": ["pull"], "acme/secret": ["pull"] } as const;
    for (const host of ["ghcr.io", "quay.example.test"]) {
      clouds.docker.addRegistry({ host, users: { ci: { password, rights } } });
    }
    googleFile = clouds.google.addServiceAccount({ name: "puller", readable: [`${gar}/`] }).credentialsJson;
    clouds.google.addRegistry(gar);
  });
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putSecret("gcp_creds", googleFile);
  await broker.putConfig(config);
});
afterAll(() => broker.close());

type Grant = { registry: string; repositories?: string[]; actions?: ["pull"] };
async function jobWith(...grants: Grant[]): Promise<string> {
  const lines = grants.map((grant) => ({ actions: ["pull"], ...grant }));
  return (await broker.openJob({ grants: lines })).token;
}

describe("a job with grants", () => {
  it.each([true, false])(
    "gets no repository beyond them, and hears what it may ask (allowBroader %s)",
    async (allowBroader) => {
      const job = await jobWith({ registry: "ghcr.io", repositories: ["acme/app"] });
      for (const repositories of [["acme/secret"], ["acme/app", "acme/secret"]]) {
        const reply = await broker.ask(job, { registry: "ghcr.io", repositories, allowBroader });
        expect(reply.body).toMatchObject({ status: 403, code: "outside-grants" });
        expect(reply.body.detail).toContain("acme/app of ghcr.io");
      }
    },
  );

  it.each(["quay.example.test", gar, "gar", "nowhere.example"])(
    "gets nothing of %s, and learns of no other entry",
    async (registry) => {
      const job = await jobWith({ registry: "ghcr.io", repositories: ["acme/app"] });
      const reply = await broker.ask(job, { registry, allowBroader: true });
      expect(reply.body).toMatchObject({ status: 403, code: "outside-grants" });
      expect(reply.body.detail).not.toContain("quay");
    },
  );

  it("gets all that it was granted when it asks for the registry, or for nothing in particular, and no more", async () => {
    const job = await jobWith({ registry: "ghcr.io", repositories: ["acme/app", "acme/base"] });
    for (const body of [
      {},
      { allowBroader: true },
      { registry: "ghcr.io" },
      { registry: "ghcr.io", allowBroader: true },
    ]) {
      const reply = await broker.ask(job, body);
      expect(reply.body.tokens).toMatchObject([
        { registry: "ghcr.io", repositories: ["acme/app", "acme/base"], scopeEnforcedBy: "registry" },
      ]);
      expect(await pull(broker.clouds, "ghcr.io", "acme/secret", authorizationOf(reply.body.tokens[0]))).toBe(401);
    }
  });

  it("asks for less than it was granted", async () => {
    const job = await jobWith({ registry: "ghcr.io", repositories: ["acme/app", "acme/base"] });
    const reply = await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/base"] });
    expect(reply.body.tokens).toMatchObject([{ repositories: ["acme/base"] }]);
  });

  it("with several lines gets their union, line by line: what one says of a registry says nothing of another", async () => {
    const job = await jobWith(
      { registry: "ghcr.io", repositories: ["acme/app"] },
      { registry: "quay.example.test", repositories: ["acme/base"] },
    );
    const crossed = await broker.ask(job, { registry: "quay.example.test", repositories: ["acme/app"] });
    expect(crossed.body).toMatchObject({ code: "outside-grants" });
    const all = await broker.ask(job);
    expect(all.body.tokens).toMatchObject([
      { registry: "ghcr.io", repositories: ["acme/app"] },
      { registry: "quay.example.test", repositories: ["acme/base"] },
    ]);
    const both = await jobWith(
      { registry: "ghcr.io", repositories: ["acme/app"] },
      { registry: "ghcr.io", repositories: ["acme/base"] },
    );
    const reply = await broker.ask(both, { registry: "ghcr.io" });
    expect(reply.body.tokens).toMatchObject([{ repositories: ["acme/app", "acme/base"] }]);
  });

  it("is never given more by a registry that cannot hold to repositories, allowBroader or not", async () => {
    for (const registry of [gar, "gar"]) {
      const job = await jobWith({ registry, repositories: ["project/repo/app"] });
      for (const allowBroader of [true, false]) {
        const reply = await broker.ask(job, { registry: gar, allowBroader });
        expect(reply.body).toMatchObject({ status: 422, code: "scope-not-enforceable" });
      }
    }
  });

  it("for a host pulls from that host alone; for an entry's id from all that the entry covers", async () => {
    const forHost = await jobWith({ registry: gar });
    expect((await broker.ask(forHost, { registry: gar })).status).toBe(200);
    const other = await broker.ask(forHost, { registry: "europe-docker.pkg.dev" });
    expect(other.body).toMatchObject({ code: "outside-grants" });
    const forEntry = await jobWith({ registry: "gar" });
    expect((await broker.ask(forEntry, { registry: gar })).status).toBe(200);
    expect((await broker.ask(forEntry, { registry: "europe-docker.pkg.dev" })).status).toBe(200);
  });

  it("granted a registry as a whole may name any of its repositories", async () => {
    const job = await jobWith({ registry: "ghcr.io" });
    const reply = await broker.ask(job, { registry: "ghcr.io", repositories: ["acme/secret"] });
    expect(reply.body.tokens).toMatchObject([{ repositories: ["acme/secret"] }]);
  });

  it("leaves an audit row for each refusal", async () => {
    const job = await jobWith({ registry: "ghcr.io", repositories: ["acme/app"] });
    const reply = await broker.ask(job, { registry: "quay.example.test" });
    const refusals = await broker.events("request.refused");
    expect(refusals.at(-1)).toMatchObject({
      code: "outside-grants",
      requestId: reply.body.requestId,
      outcome: "refused",
    });
  });
});

it("a job without grants may pull from every entry", async () => {
  const { token } = await broker.openJob();
  const requests = ["ghcr.io", "quay.example.test"].map((registry) => ({ registry, repositories: ["acme/app"] }));
  const reply = await broker.ask(token, { requests: [...requests, { registry: gar }] });
  expect(reply.body.tokens).toHaveLength(3);
});

it("a token with grants is no way to a job with more: a job's token opens no jobs", async () => {
  const job = await jobWith({ registry: "ghcr.io", repositories: ["acme/app"] });
  const reply = await broker.service.as(job).post(`/v1/factories/${broker.factory.name}/jobs`).send({ name: "more" });
  expect(reply.status).toBe(403);
});
