import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { GarEntry } from "../../../../src/factory-config/entry.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { examineAgainst, messageOf, outcomes } from "./examine-against.js";

const host = "europe-west1-docker.pkg.dev";
const entry: GarEntry = { id: host, type: "gar", hosts: [host], secretName: "gcp_creds" };
const pull = "artifactregistry.repositories.downloadArtifacts";
const push = "artifactregistry.repositories.uploadArtifacts";
const own = "projects/stand-in-project";

let clouds: StandInClouds;
let made = 0;

beforeAll(async () => {
  clouds = await startStandInClouds();
});
afterAll(() => clouds.close());
beforeEach(() => {
  clouds.google.turnPermissionsOff(false);
  for (const endpoint of [clouds.google.token, clouds.google.resourceManager, clouds.google.artifactRegistry]) {
    endpoint.heal();
    endpoint.forget();
  }
});

function addAccount(permissions: Record<string, string[]>, project?: string) {
  made += 1;
  const account = { name: `ci-${made}`, readable: [], permissions, ...(project && { project }) };
  return clouds.google.addServiceAccount(account);
}

const examine = (text: string, options: Parameters<typeof examineAgainst>[3] = {}) =>
  examineAgainst(clouds, entry, text, { host, ...options });

describe("a service account", () => {
  it("that may read is in order, and its tokens cannot push whatever it may", async () => {
    const { credentialsJson } = addAccount({ [own]: [pull] });
    const report = await examine(credentialsJson);
    expect(outcomes(report)).toEqual(["login ok", "narrowing ok", "reach ok", "push ok", "over-privileged ok"]);
    expect(messageOf(report, "narrowing")).toContain("nothing else, whatever the account may");
    expect(report).toMatchObject({ isLoggedIn: true, outcome: "ok", registry: host });
  });

  it("is tried with two tokens, and neither stands in a URL", async () => {
    await examine(addAccount({ [own]: [pull] }).credentialsJson, { repositories: ["stand-in-project/images/app"] });
    const { token, resourceManager, artifactRegistry } = clouds.google;
    expect(token.requests.map(({ operation }) => operation).sort()).toEqual([
      "POST /token",
      "POST /token",
      "POST /tokeninfo",
    ]);
    const asked = [...resourceManager.requests, ...artifactRegistry.requests];
    expect(asked.map(({ path }) => path)).toEqual([
      `/v1/${own}:testIamPermissions`,
      `/v1/${own}/locations/europe-west1/repositories/images:testIamPermissions`,
    ]);
    expect(
      asked.every(({ authorization, query }) => authorization === "bearer" && Object.keys(query).length === 0),
    ).toBe(true);
  });

  it("that may push or administer is warned of", async () => {
    const permissions = { [own]: [pull, push, "resourcemanager.projects.setIamPolicy"] };
    const report = await examine(addAccount(permissions).credentialsJson);
    expect(outcomes(report)).toEqual(expect.arrayContaining(["push warning", "over-privileged warning"]));
    expect(messageOf(report, "over-privileged")).toContain("resourcemanager.projects.setIamPolicy");
  });

  it("is told of each named repository what it may do there", async () => {
    const images = `${own}/locations/europe-west1/repositories/images`;
    const { credentialsJson } = addAccount({ [images]: [pull, push], [own]: [] });
    const repositories = ["stand-in-project/images/app", "stand-in-project/other/app"];
    const report = await examine(credentialsJson, { repositories });
    expect(report.checks.filter(({ code }) => code === "reach").map(({ outcome }) => outcome)).toEqual([
      "ok",
      "failed",
    ]);
    expect(outcomes(report)).toContain("push warning");
    const unnamed = await examine(credentialsJson);
    expect(outcomes(unnamed)).toEqual(expect.arrayContaining(["reach unknown", "push ok"]));
  });

  it("at gcr.io is told what its project says, because the path does not name the repository", async () => {
    const { credentialsJson } = addAccount({ [own]: [pull] });
    const report = await examine(credentialsJson, { host: "eu.gcr.io", repositories: ["stand-in-project/app"] });
    expect(outcomes(report)).toEqual(["login ok", "narrowing ok", "reach ok", "push ok", "over-privileged ok"]);
    expect(clouds.google.artifactRegistry.requests).toEqual([]);
  });

  it("is compared with the current version by its e-mail and its project", async () => {
    const [one, two] = [addAccount({}).credentialsJson, addAccount({}).credentialsJson];
    const elsewhere = addAccount({}, "another-project").credentialsJson;
    const same = async (text: string, current: string) => messageOf(await examine(text, { current }), "same-principal");
    expect(await same(one, one)).toContain("is the service account");
    expect(await same(two, one)).toContain("same project");
    expect(await same(elsewhere, one)).toContain("another project");
    expect(await same(one, "{}")).toContain("cannot be read");
  });

  it("whose project does not tell permissions is let through with what is unknown", async () => {
    clouds.google.turnPermissionsOff(true);
    const report = await examine(addAccount({ [own]: [pull] }).credentialsJson);
    expect(outcomes(report)).toEqual([
      "login ok",
      "narrowing ok",
      "reach unknown",
      "push unknown",
      "over-privileged unknown",
    ]);
    clouds.google.resourceManager.fail("server-error");
    expect((await examine(addAccount({ [own]: [pull] }).credentialsJson)).isLoggedIn).toBe(true);
  });

  it("that is disabled does not log in", async () => {
    const { email, credentialsJson } = addAccount({});
    clouds.google.disable(email);
    const report = await examine(credentialsJson);
    expect(outcomes(report)).toEqual(["login failed"]);
    expect(messageOf(report, "login")).toContain("invalid_grant");
  });

  it("needs a host to be tried for, and a key file", async () => {
    const { credentialsJson } = addAccount({});
    const hostless = await examineAgainst(clouds, { ...entry, hosts: [] }, credentialsJson);
    expect(outcomes(hostless)).toEqual(["registry unknown"]);
    expect(outcomes(await examine("{}"))).toEqual(["form failed"]);
    expect(clouds.google.token.requests).toEqual([]);
  });
});
