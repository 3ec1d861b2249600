import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../../support/broker/brokered-factory.js";
import type { CloudEndpoint } from "../../../support/clouds/cloud-endpoint.js";
import { watched } from "../../../support/leak-watch.js";
import { startTestService } from "../../../support/test-service.js";

const tenantId = "11111111-2222-3333-4444-555555555555";
const clientId = "66666666-7777-8888-9999-000000000000";
const clientSecret = watched("not-a-real-secret-references-azure-81");
const password = watched("not-a-real-secret-references-ghcr-4c");
const acr = "example.azurecr.io";
const config = `container_registries:
- type: azure
  url: ${acr}
  azure_principal_secret_name: azprincipal
- type: generic
  url: ghcr.io
  generic_secret_name: ghcr_creds
- type: generic
  url: broken.example.test
  generic_secret_name: nowhere
`;

let broker: BrokeredFactory;
let ghcr: CloudEndpoint;
beforeAll(async () => {
  broker = await startBrokeredFactory(({ azure, docker }) => {
    const { host } = azure.addRegistry("example");
    const rights = { "team/app": ["pull"], "team/base": ["pull"] } as const;
    azure.directory.addServicePrincipal({ tenantId, clientId, clientSecret, rights: { [host]: rights } });
    const mine = { "acme/base": ["pull"], "acme/app": ["pull"] } as const;
    ({ registry: ghcr } = docker.addRegistry({ host: "ghcr.io", users: { ci: { password, rights: mine } } }));
  });
  await broker.putSecret("azprincipal", JSON.stringify({ appId: clientId, password: clientSecret, tenant: tenantId }));
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putConfig(config);
});
afterAll(() => broker.close());

async function check(token: string, body: Record<string, unknown>) {
  const asked = broker.service.as(token).post(`/v1/factories/${broker.factory.name}/references:check`);
  const reply = await asked.send(body);
  expect(reply.status).toBe(200);
  const items: Record<string, unknown>[] = reply.body.items;
  return items;
}

describe("references:check", () => {
  it("says of each reference, in order, whether it can be pulled, from where, and for which platforms", async () => {
    const { token } = await broker.openJob();
    const references = [
      "ghcr.io/acme/base:multi",
      `${acr}/team/app:single`,
      "ghcr.io/acme/app:gone",
      "ghcr.io/acme/secret:multi",
      "alpine:3",
      "broken.example.test/x:1",
      "ghcr.io/Acme/base",
      "ghcr.io/acme/base:multi",
    ];
    const items = await check(token, { references });
    expect(items.map(({ reference }) => reference)).toEqual(references);
    expect(items.map(({ outcome }) => outcome)).toEqual([
      "ok",
      "ok",
      "missing",
      "refused",
      "not-covered",
      "refused",
      "invalid",
      "ok",
    ]);
    expect(items[0]).toMatchObject({
      registry: "ghcr.io",
      repository: "acme/base",
      entry: "ghcr.io",
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      platforms: ["linux/amd64", "linux/arm64/v8"],
    });
    expect(items[1]).toMatchObject({ entry: acr, platforms: ["linux/arm/v7"] });
    expect(items[5]).toMatchObject({
      code: "secret-missing",
      message: expect.stringContaining("fioctl secrets update"),
    });
    for (const { message } of items) expect(message).toMatch(/\.$|=\.\.\.$/);
  });

  it("says which platform is lacking", async () => {
    const { token } = await broker.openJob();
    const references = ["ghcr.io/acme/base:multi", `${acr}/team/app:single`];
    const items = await check(token, { references, platforms: ["linux/arm64", "linux/amd64"] });
    expect(items).toMatchObject([
      { outcome: "ok" },
      { outcome: "platform-missing", message: expect.stringContaining("not for linux/arm64, linux/amd64") },
    ]);
  });

  it("says of an image that names no platform that it does not tell, and not that it is there for none", async () => {
    const { token } = await broker.openJob();
    // The stand-in's other tags are an index without any manifest.
    const references = ["ghcr.io/acme/base:anywhere", "ghcr.io/acme/base:empty"];
    for (const item of await check(token, { references, platforms: ["linux/arm64"] })) {
      expect(item).toMatchObject({ outcome: "ok", message: expect.stringContaining("says for which platforms") });
      expect(item).not.toHaveProperty("platforms");
    }
  });

  it("holds to the caller's grants, and tells nothing of registries beyond them", async () => {
    const { token } = await broker.openJob({ grants: [{ registry: "ghcr.io", repositories: ["acme/base"] }] });
    const references = ["ghcr.io/acme/base:multi", "ghcr.io/acme/app:multi", `${acr}/team/app:single`];
    const items = await check(token, { references });
    expect(items.map(({ outcome, code }) => [outcome, code])).toEqual([
      ["ok", undefined],
      ["refused", "outside-grants"],
      ["not-covered", "registry-unknown"],
    ]);
    expect(items[2]).not.toHaveProperty("entry");
  });

  it("leaves the tokens in the service, and their rows in the audit", async () => {
    const job = await broker.openJob();
    const before = (await broker.events("registry-token.issued")).length;
    const items = await check(job.token, { references: ["ghcr.io/acme/base:multi"] });
    expect(JSON.stringify(items)).not.toMatch(/bearer|password/i);
    const rows = (await broker.events("registry-token.issued")).slice(before);
    expect(rows).toMatchObject([{ registry: "ghcr.io", repositories: ["acme/base"], actor: { id: job.id } }]);
  });

  it("answers unknown when a registry is down, and the others all the same", async () => {
    const { token } = await broker.openJob();
    ghcr.fail("server-error");
    try {
      const items = await check(token, { references: ["ghcr.io/acme/base:single", `${acr}/team/base:multi`] });
      expect(items.map(({ outcome }) => outcome)).toEqual(["unknown", "ok"]);
    } finally {
      ghcr.heal();
    }
  });

  it("counts each token that it needs, and answers unknown for what is one too many", async () => {
    const environment = { ...broker.environment, FACTORY_SECRETS_MAX_TOKEN_REQUESTS_PER_MINUTE: "2" };
    const limited = await startTestService(environment, broker.service);
    const { token } = await broker.openJob();
    const path = `/v1/factories/${broker.factory.name}/references:check`;
    const references = ["ghcr.io/acme/base:multi", `${acr}/team/app:single`];
    const { body } = await limited.as(token).post(path).send({ references }).expect(200);
    // The request itself is one of the two.
    const codes = body.items.map(({ outcome, code }: Record<string, string>) => `${outcome} ${code ?? ""}`);
    expect(codes.toSorted()).toEqual(["ok ", "unknown too-many-requests"]);
    await limited.as(token).post(path).send({ references }).expect(429);
    await limited.close();
  });
});
