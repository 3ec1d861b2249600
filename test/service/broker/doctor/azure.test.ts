import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AzureEntry } from "../../../../src/factory-config/entry.js";
import type { RegistryRights } from "../../../support/clouds/azure/entra-directory.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { watched } from "../../../support/leak-watch.js";
import { examineAgainst, messageOf, outcomes } from "./examine-against.js";

const tenantId = "0f1e2d3c-0000-4000-8000-000000000001";
const host = "acme.azurecr.io";
const bare: AzureEntry = { id: host, type: "azure", host, secretName: "azprincipal" };
const entry: AzureEntry = { ...bare, tenantId };

let clouds: StandInClouds;
let acr: ReturnType<StandInClouds["azure"]["addRegistry"]>["endpoint"];

beforeAll(async () => {
  clouds = await startStandInClouds();
  acr = clouds.azure.addRegistry("acme").endpoint;
});
afterAll(() => clouds.close());
beforeEach(() => {
  for (const endpoint of [acr, clouds.azure.entra]) {
    endpoint.heal();
    endpoint.forget();
  }
});

function addPrincipal(rights: RegistryRights, options: { clientId?: string; secretExpiresAt?: Date } = {}): string {
  const { clientId = randomUUID(), secretExpiresAt } = options;
  const clientSecret = watched(`not-a-real-secret-${randomUUID()}`);
  clouds.azure.directory.addServicePrincipal({
    tenantId,
    clientId,
    clientSecret,
    rights: { [host]: rights },
    ...(secretExpiresAt && { secretExpiresAt }),
  });
  return `${clientId}:${clientSecret}`;
}

describe.each([
  ["by way of Entra", entry],
  ["at the registry alone", bare],
])("a principal, %s", (_way, through) => {
  it("that may pull is in order", async () => {
    const report = await examineAgainst(clouds, through, addPrincipal({ "*": ["pull"] }));
    expect(outcomes(report)).toEqual(["login ok", "reach ok", "push ok", "narrowing ok"]);
    expect(messageOf(report, "reach")).toContain("every repository");
    expect(report).toMatchObject({ isLoggedIn: true, outcome: "ok" });
    expect(report.principal).toBeUndefined();
  });

  it("that may push is warned of, by what the registry grants and without a push", async () => {
    const report = await examineAgainst(clouds, through, addPrincipal({ "*": ["pull", "push"] }));
    expect(outcomes(report)).toContain("push warning");
    expect(messageOf(report, "push")).toContain("AcrPull");
    const scopes = acr.requests.flatMap(({ query, form }) => [...(query.scope ?? []), ...(form.scope ?? [])]);
    expect(scopes).toContain("repository:factory-secrets-doctor/no-such-repository:pull,push");
    expect(acr.requests.every(({ path }) => path.startsWith("/oauth2/"))).toBe(true);
  });

  it("is told of each named repository what it may do there", async () => {
    const principal = addPrincipal({ "team/app": ["pull"], "team/tools": ["pull", "push"] });
    const repositories = ["team/app", "team/tools", "team/other"];
    const report = await examineAgainst(clouds, through, principal, { repositories });
    expect(report.checks.filter(({ code }) => code === "reach").map(({ outcome }) => outcome)).toEqual([
      "ok",
      "ok",
      "failed",
    ]);
    expect(messageOf(report, "push")).toContain("may push to team/tools,");
    const unnamed = await examineAgainst(clouds, through, principal);
    expect(outcomes(unnamed)).toEqual(expect.arrayContaining(["reach unknown", "push ok"]));
  });

  it("is compared with the current version by its client id", async () => {
    const clientId = randomUUID();
    const current = addPrincipal({ "*": ["pull"] }, { clientId });
    const next = addPrincipal({ "*": ["pull"] }, { clientId });
    expect(outcomes(await examineAgainst(clouds, through, next, { current }))).toContain("same-principal ok");
    const other = addPrincipal({ "*": ["pull"] });
    expect(outcomes(await examineAgainst(clouds, through, other, { current }))).toContain("same-principal warning");
    const unreadable = await examineAgainst(clouds, through, next, { current: "nothing to read" });
    expect(outcomes(unreadable)).toContain("same-principal unknown");
  });

  it("with a wrong password is refused", async () => {
    const principal = addPrincipal({ "*": ["pull"] });
    const report = await examineAgainst(clouds, through, `${principal}x`);
    expect(outcomes(report)).toEqual(["login failed"]);
    expect(JSON.stringify(report)).not.toContain(principal.split(":")[1]);
  });
});

describe("a service principal", () => {
  it("whose secret has expired is told so, by AADSTS7000222", async () => {
    const principal = addPrincipal({ "*": ["pull"] }, { secretExpiresAt: new Date(Date.now() - 1_000) });
    const report = await examineAgainst(clouds, entry, principal);
    expect(outcomes(report)).toEqual(["expired-credential failed"]);
    expect(messageOf(report, "expired-credential")).toContain("AADSTS7000222");
    expect(report.isLoggedIn).toBe(false);
  });

  it("without a role on the registry is told which one to give it", async () => {
    clouds.azure.addRegistry("elsewhere");
    const elsewhere = { ...entry, id: "elsewhere.azurecr.io", host: "elsewhere.azurecr.io" };
    const report = await examineAgainst(clouds, elsewhere, addPrincipal({ "*": ["pull"] }));
    expect(messageOf(report, "login")).toContain("AcrPull");
  });

  it("of an entry without a host needs one to be tried at", async () => {
    const { host: _host, ...hostless } = entry;
    const report = await examineAgainst(clouds, hostless, addPrincipal({ "*": ["pull"] }));
    expect(outcomes(report)).toEqual(["registry unknown"]);
    expect(clouds.azure.entra.requests).toEqual([]);
  });

  it("is not judged while Entra is out of order", async () => {
    clouds.azure.entra.fail("server-error");
    const report = await examineAgainst(clouds, entry, addPrincipal({ "*": ["pull"] }));
    expect(outcomes(report)).toEqual(["login unknown"]);
  });
});

it("warns of the registry's admin account, whose name is the registry's", async () => {
  const report = await examineAgainst(clouds, bare, addPrincipal({ "*": ["pull", "push"] }, { clientId: "acme" }));
  expect(outcomes(report)).toContain("over-privileged warning");
  expect(messageOf(report, "over-privileged")).toContain("admin account");
});
