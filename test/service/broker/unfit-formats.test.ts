import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import type { CloudEndpoint } from "../../support/clouds/cloud-endpoint.js";
import { watched } from "../../support/leak-watch.js";
import { expectProblem } from "../http/expect-problem.js";

const password = watched("not-a-real-secret-unfit-4a2b");
const [acr, gar] = ["example.azurecr.io", "us-docker.pkg.dev"];
const [tenantId, clientId] = ["11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"];
const config = `- { type: azure, url: ${acr}, azure_principal_secret_name: azprincipal }
- { type: generic, url: ghcr.io, generic_secret_name: ghcr_creds }
- { type: gar, url: ${gar}, gar_creds_secret_name: gcp_creds }
`;

let broker: BrokeredFactory;
let job: string;
let azure: CloudEndpoint;
beforeAll(async () => {
  let googleFile = "";
  broker = await startBrokeredFactory((clouds) => {
    const { host, endpoint } = clouds.azure.addRegistry("example");
    azure = endpoint;
    const rights = { [host]: { "team/app": ["pull"] } } as const;
    clouds.azure.directory.addServicePrincipal({ tenantId, clientId, clientSecret: password, rights });
    const users = { ci: { password, rights: { "acme/base": ["pull"] } } } as const;
    clouds.docker.addRegistry({ host: "ghcr.io", users });
    googleFile = clouds.google.addServiceAccount({ name: "puller", readable: [`${gar}/`] }).credentialsJson;
    clouds.google.addRegistry(gar);
  });
  await broker.putSecret("azprincipal", `${clientId}:${password}`);
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putSecret("gcp_creds", googleFile);
  await broker.putConfig(config);
  job = (await broker.openJob()).token;
});
afterAll(() => broker.close());

/** What was opened or handed out of these registries so far, as the audit tells it. */
async function told(registries: readonly string[]): Promise<number> {
  const events = await Promise.all(
    ["issued", "refreshed", "failed"].map((what) => broker.events(`registry-token.${what}`)),
  );
  return events.flat().filter(({ registry }) => registries.includes(String(registry))).length;
}

const bearers = [
  { registry: acr, repositories: ["team/app"] },
  { registry: "ghcr.io", repositories: ["acme/base"] },
];
const bearerHosts = bearers.map(({ registry }) => registry);

describe("a format that cannot carry a bearer", () => {
  it.each(
    bearers.flatMap((asked) =>
      ["login", "kubernetes-secret", "ci-scripts"].flatMap((format) =>
        [false, true].map((isGranted) => ({ ...asked, format, isGranted })),
      ),
    ),
  )("$format is refused for $registry before anything is opened (by its grant: $isGranted)", async (given) => {
    const { isGranted, format, ...asked } = given;
    const caller = isGranted ? (await broker.openJob({ grants: [asked] })).token : job;
    const refused = await broker.ask(caller, { format, ...(!isGranted && asked) });
    expect(expectProblem(refused, "not-representable").detail).toMatch(/gives a bearer, which is no password/);
    expect(await told(bearerHosts)).toBe(0);
    expect(azure.requests).toEqual([]);
  });

  it("opens nothing for the other registries either, unless it may be answered in part", async () => {
    const requests = [{ registry: gar }, ...bearers];
    const whole = await broker.ask(job, { requests, format: "kubernetes-secret" });
    expect(expectProblem(whole, "not-representable").detail).toMatch(/^2 of 3 registries gave no token\. /);
    expect(await told([gar])).toBe(0);
    const partial = await broker.ask(job, { requests, format: "kubernetes-secret", allowPartial: true });
    expect(Object.keys(JSON.parse(partial.body.stringData[".dockerconfigjson"]).auths)).toEqual([gar]);
    expect(partial.headers["factory-secrets-failures"]).toBe(`${acr}=not-representable, ghcr.io=not-representable`);
    expect([await told([gar]), await told(bearerHosts)]).toEqual([1, 0]);
  });

  it("has the password of an entry all the same, and of one whose secret names the tenant", async () => {
    expect((await broker.ask(job, { registry: gar, format: "login" })).body).toEqual({
      username: "oauth2accesstoken",
      password: expect.any(String),
    });
    await broker.putSecret("azprincipal", JSON.stringify({ appId: clientId, password, tenant: tenantId }));
    expect((await broker.ask(job, { registry: acr, format: "login" })).status).toBe(200);
  });
});
