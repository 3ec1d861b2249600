import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenericEntry } from "../../../../src/factory-config/entry.js";
import type { DockerRegistryOptions } from "../../../support/clouds/docker/answer-docker-registry.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { watched } from "../../../support/leak-watch.js";
import { examineAgainst, messageOf, outcomes } from "./examine-against.js";

const password = watched("not-a-real-secret-generic-41d7");
const credential = `ci:${password}`;

let clouds: StandInClouds;
let made = 0;

beforeAll(async () => {
  clouds = await startStandInClouds();
});
afterAll(() => clouds.close());

function open(options: Partial<DockerRegistryOptions> = {}) {
  made += 1;
  const host = `registry-${made}.example.com`;
  const users = { ci: { password, rights: { "*": ["pull"] } } } as const;
  const { registry } = clouds.docker.addRegistry({ host, users, ...options });
  const entry: GenericEntry = { id: host, type: "generic", host, secretName: "creds", passThrough: false };
  return { host, entry, registry };
}

describe("a registry with tokens", () => {
  it("is asked as docker login asks it, and then what it grants", async () => {
    const { entry } = open();
    const report = await examineAgainst(clouds, entry, credential, { current: credential });
    expect(outcomes(report)).toEqual(["login ok", "narrowing ok", "reach ok", "push ok", "same-principal ok"]);
    expect(report).toMatchObject({ isLoggedIn: true, outcome: "ok" });
  });

  it("warns of a user that may push, everywhere or where it was named", async () => {
    const wide = open({ users: { ci: { password, rights: { "*": ["pull", "push"] } } } });
    expect(outcomes(await examineAgainst(clouds, wide.entry, credential))).toContain("push warning");
    const rights = { "team/app": ["pull", "push"], "team/base": ["pull"] } as const;
    const narrow = open({ users: { ci: { password, rights } } });
    const repositories = ["team/app", "team/base", "team/none"];
    const report = await examineAgainst(clouds, narrow.entry, credential, { repositories });
    expect(messageOf(report, "push")).toContain("may push to team/app,");
    expect(report.checks.filter(({ code }) => code === "reach").map(({ outcome }) => outcome)).toEqual([
      "ok",
      "ok",
      "failed",
    ]);
    expect(outcomes(await examineAgainst(clouds, narrow.entry, credential))).toContain("push ok");
  });

  it("whose tokens say nothing is asked for what is not there, and pushing stays unknown", async () => {
    const { entry } = open({ tokenShape: "opaque", users: { ci: { password, rights: { "team/app": ["pull"] } } } });
    const report = await examineAgainst(clouds, entry, credential, { repositories: ["team/app", "team/other"] });
    expect(outcomes(report)).toEqual(["login ok", "narrowing unknown", "reach ok", "reach failed", "push unknown"]);
  });

  it("that hands the stored credential back has nothing for jobs", async () => {
    const { entry } = open({ tokenShape: "echo" });
    const report = await examineAgainst(clouds, entry, credential);
    expect(outcomes(report)).toContain("narrowing failed");
    expect(report.outcome).toBe("failed");
    expect(JSON.stringify(report)).not.toContain(password);
  });

  it("refuses a wrong password, and another user is another principal", async () => {
    const { entry } = open();
    const report = await examineAgainst(clouds, entry, `ci:${password}-wrong`);
    expect(outcomes(report)).toEqual(["login failed"]);
    const renamed = await examineAgainst(clouds, entry, credential, { current: `bob:${password}` });
    expect(outcomes(renamed)).toContain("same-principal warning");
  });

  it("with its token service elsewhere is not sent the credential", async () => {
    const { entry, host } = open({ realmHost: "elsewhere.example.net" });
    const report = await examineAgainst(clouds, entry, credential);
    expect(outcomes(report)).toEqual(["login failed"]);
    expect(messageOf(report, "login")).toContain(`FACTORY_SECRETS_ALLOWED_REALMS=${host}=elsewhere.example.net`);
  });

  it("that is away proves nothing", async () => {
    const { entry, registry } = open();
    registry.fail("drop");
    expect(outcomes(await examineAgainst(clouds, entry, credential))).toEqual(["login unknown"]);
  });
});

describe("a registry that takes the password itself", () => {
  it("has no tokens, unless its entry passes the credential on", async () => {
    const { entry, host } = open({ auth: "basic" });
    const refused = await examineAgainst(clouds, entry, credential);
    expect(outcomes(refused)).toEqual(["login failed"]);
    const passing = { ...entry, passThrough: true };
    const forbidden = await examineAgainst(clouds, passing, credential);
    expect(messageOf(forbidden, "login")).toContain("FACTORY_SECRETS_PASS_THROUGH_HOSTS");
    const allowed = { passThroughHosts: [host] };
    const report = await examineAgainst(clouds, passing, credential, allowed);
    expect(outcomes(report)).toEqual(["login ok", "narrowing warning"]);
    expect(outcomes(await examineAgainst(clouds, passing, `ci:${password}-wrong`, allowed))).toEqual(["login failed"]);
  });
});

it("tells a text that is no user and password, without a call", async () => {
  const { entry, registry } = open();
  expect(outcomes(await examineAgainst(clouds, entry, "no colon"))).toEqual(["form failed"]);
  expect(registry.requests).toEqual([]);
});
