import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTestService } from "../../support/test-service.js";
import { type ConfigOverHttp, type Reply, startConfigOverHttp } from "./config-over-http.js";

const attacker = "evil.azurecr.io";
const entries = {
  azure: "- type: azure\n  url: example.azurecr.io\n  azure_principal_secret_name: azprincipal\n",
  ghcr: "- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n",
  gar: "- type: gar\n  hosts: [us-docker.pkg.dev]\n  gar_creds_secret_name: gcp_creds\n",
};
const trusted = `container_registries:\n${entries.azure}${entries.ghcr}${entries.gar}`;

let http: ConfigOverHttp;
/** May write the config and nothing else. */
let mallory: string;
let evilVersion: number;
beforeAll(async () => {
  http = await startConfigOverHttp();
  await http.putSecrets("azprincipal", "ghcr_creds", "gcp_creds");
  // What a restore would bring back: a document that somebody trusted once published and took back again.
  const evil = await http.put(http.operator, trusted.replace("example.azurecr.io", attacker));
  evilVersion = evil.body.version;
  mallory = await http.caller("config:write", "config:read", "jobs:create", "registry-tokens:issue");
});
afterAll(() => http.close());
beforeEach(async () => {
  await http.put(http.operator, trusted);
});

const put = (document: string, query: Record<string, string> = {}) => http.put(mallory, document, query);
const post = (body: object, query = {}) =>
  http.service.as(mallory).post(`${http.path}/registries`).query(query).send(body);
const change = (id: string, body: object, query = {}) =>
  http.service.as(mallory).put(`${http.path}/registries/${id}`).query(query).send(body);
const more = (entry: string): string => `${trusted}${entry}`;
const asGeneric = (host: string, secret = "azprincipal"): string =>
  `- type: generic\n  url: ${host}\n  generic_secret_name: ${secret}\n`;

const ways: [string, () => PromiseLike<Reply>][] = [
  ["a new entry of the same type", () => put(more(entries.azure.replace("example.azurecr.io", attacker)))],
  ["a new entry of another type", () => put(more(asGeneric("evil.example")))],
  [
    "a new entry of another type for the very same host",
    () => put(trusted.replace(entries.azure, asGeneric("example.azurecr.io"))),
  ],
  ["another url", () => put(trusted.replace("example.azurecr.io", attacker))],
  ["another port of the same host", () => put(trusted.replace("ghcr.io", "ghcr.io:8443"))],
  ["another type and url", () => put(trusted.replace(entries.azure, asGeneric("evil.example")))],
  [
    "no url at all, which stands for every host of the cloud",
    () => put(trusted.replace("  url: example.azurecr.io\n", "")),
  ],
  ["the secret of an entry exchanged for azprincipal", () => put(trusted.replace("ghcr_creds", "azprincipal"))],
  [
    "two entries that exchange their secrets",
    () => put(trusted.replace("ghcr_creds", "_").replace("azprincipal", "ghcr_creds").replace("_\n", "azprincipal\n")),
  ],
  [
    "a host added to the list of gar",
    () => put(trusted.replace("[us-docker.pkg.dev]", "[us-docker.pkg.dev, europe-docker.pkg.dev]")),
  ],
  [
    "a gar list that is gone, which stands for every host",
    () => put(trusted.replace("  hosts: [us-docker.pkg.dev]\n", "")),
  ],
  ["the bare list instead of the mapping", () => put(asGeneric("evil.example"))],
  [
    "passThrough on an entry that is approved as it is",
    () => put(trusted.replace("  generic_secret", "  passThrough: true\n  generic_secret")),
  ],
  ["dryRun", () => put(more(asGeneric("evil.example")), { dryRun: "true" })],
  ["allowMissingSecrets", () => put(more(asGeneric("evil.example")), { allowMissingSecrets: "true" })],
  [
    "a secret that does not exist yet",
    () => put(more(asGeneric("evil.example", "tomorrow")), { allowMissingSecrets: "true" }),
  ],
  ["POST of an entry", () => post({ type: "generic", url: "evil.example", secretName: "azprincipal" })],
  [
    "POST of an entry for a secret to come",
    () => post({ type: "generic", url: "evil.example", secretName: "tomorrow" }, { allowMissingSecrets: "true" }),
  ],
  ["POST of an entry without a url", () => post({ type: "azure", secretName: "azprincipal" })],
  [
    "PUT of an entry with another url",
    () => change("example.azurecr.io", { type: "azure", url: attacker, secretName: "azprincipal" }),
  ],
  [
    "PUT of an entry with another type",
    () => change("example.azurecr.io", { type: "generic", url: "evil.example", secretName: "azprincipal" }),
  ],
  ["PUT of an entry without its url", () => change("example.azurecr.io", { type: "azure", secretName: "azprincipal" })],
  [
    "PUT of an entry with another secret",
    () => change("ghcr.io", { type: "generic", url: "ghcr.io", secretName: "azprincipal" }),
  ],
  [
    "PUT of an entry with passThrough",
    () => change("ghcr.io", { type: "generic", url: "ghcr.io", secretName: "ghcr_creds", passThrough: true }),
  ],
  [
    "restore of an older version",
    () => http.service.as(mallory).post(`${http.path}/config/versions/${evilVersion}:restore`),
  ],
];

describe("a caller with config:write alone cannot send azprincipal elsewhere", () => {
  it.each(ways)("by %s", async (_way, attack) => {
    const before = await http.document();
    const reply = await attack();
    expect(reply.body).toMatchObject({ status: 403, code: "destination-not-approved" });
    expect(reply.body.detail).toContain("secrets:write");
    expect((await http.document()).equals(before)).toBe(true);
  });

  it("in two steps: what is taken out is not approved any more when it is put back", async () => {
    expect((await put(`container_registries:\n${entries.ghcr}${entries.gar}`)).status).toBe(200);
    expect((await put(trusted)).body).toMatchObject({ code: "destination-not-approved" });
  });

  it("by a YAML alias: an entry has none", async () => {
    const entry = "- type: generic\n  url: evil.example\n  generic_secret_name: *name\n";
    const reply = await put(`name: &name azprincipal\n${more(entry)}`);
    expect(reply.body).toMatchObject({ status: 422, code: "invalid-config" });
  });

  it("leaves each try in the audit: the first as a row at once, the others counted", async () => {
    const { id, token } = await http.service.createApiToken(http.factory.name, ["config:write"]);
    const replica = await startTestService({}, http.service);
    const attempt = () => {
      const request = replica.as(token).put(`${http.path}/config`).set("Content-Type", "application/yaml");
      return request.send(more(asGeneric("evil.example"))).expect(403);
    };
    const refusals = async () => {
      const audit = http.service.as(http.operator).get(`${http.path}/audit`);
      const { body } = await audit.query({ action: "request.refused", pageSize: "200" }).expect(200);
      return body.items.filter(({ actor }: { actor: { id: string } }) => actor.id === id);
    };
    const { requestId } = (await attempt()).body;
    const first = { code: "destination-not-approved", requestId };
    expect(await refusals()).toMatchObject([first]);
    for (let again = 0; again < 3; again += 1) await attempt();
    // What is counted is written when the replica stops, and each minute.
    await replica.close();
    expect(await refusals()).toMatchObject([{ code: "destination-not-approved", count: 3 }, first]);
  });
});

describe("a caller with config:write alone may still", () => {
  it.each([
    ["change what is around the entries", `# a comment\nnotify: {}\n${trusted}`],
    [
      "write the same entries in another order and style",
      `container_registries:\n${entries.gar}- {type: azure, url: EXAMPLE.azurecr.io, azure_principal_secret_name: azprincipal}\n${entries.ghcr}`,
    ],
    ["remove an entry", `container_registries:\n${entries.ghcr}`],
    // The tenant is a path at Microsoft's own login host (see destinations.ts): nothing reaches its owner.
    [
      "set the tenant that the principal signs in to",
      trusted.replace(
        "  azure_principal",
        "  azure_tenant_id: 11111111-2222-3333-4444-555555555555\n  azure_principal",
      ),
    ],
  ])("%s", async (_what, document) => {
    expect((await put(document)).status).toBe(200);
  });

  it("turn passThrough off", async () => {
    const on = trusted.replace("  generic_secret", "  passThrough: true\n  generic_secret");
    expect((await http.put(http.operator, on)).status).toBe(200);
    expect((await put(trusted)).status).toBe(200);
    expect((await put(on)).body).toMatchObject({ code: "destination-not-approved" });
  });
});

describe("an approval", () => {
  it("is an audit row: which secret, to where, by whom", async () => {
    const both = await http.caller("config:write", "secrets:write");
    const { body } = await http.put(both, more(asGeneric("quay.io", "ghcr_creds")));
    const audit = await http.service
      .as(http.operator)
      .get(`${http.path}/audit`)
      .query({ action: "destination.approved" });
    expect(audit.body.items[0]).toMatchObject({
      secret: "ghcr_creds",
      registryType: "generic",
      host: "quay.io",
      configVersion: body.version,
      actor: { kind: "api-token" },
    });
  });

  it("is needed by secrets:write alone as well: it may not write the config", async () => {
    const writer = await http.caller("secrets:write");
    expect((await http.put(writer, trusted)).body).toMatchObject({ status: 403, code: "forbidden" });
  });

  it("is what the broker goes by: an entry that nobody approved opens nothing, however it got there", async () => {
    const { token } = await http.service.openJob(http.factory.name);
    const { pool } = http.service.database;
    const ofGhcr = "FROM approved_destinations WHERE factory_id = $1 AND host = 'ghcr.io'";
    await pool.query(`DELETE ${ofGhcr}`, [http.factory.id]);
    await pool.query("UPDATE factories SET generation = generation + 1 WHERE id = $1", [http.factory.id]);
    const demand = { registry: "ghcr.io", repositories: ["acme/app"] };
    const reply = await http.service.as(token).post(`${http.path}/registry-tokens`).send(demand);
    expect(reply.body).toMatchObject({ status: 403, code: "destination-not-approved" });
    // Publishing the same document once more, by somebody who may, is the way out.
    expect((await put(trusted)).body).toMatchObject({ code: "destination-not-approved" });
    expect((await http.put(http.operator, trusted)).status).toBe(200);
    expect((await pool.query(`SELECT 1 ${ofGhcr}`, [http.factory.id])).rowCount).toBe(1);
  });
});
