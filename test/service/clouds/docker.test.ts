import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { DockerRegistryOptions } from "../../support/clouds/docker/answer-docker-registry.js";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";

const users: DockerRegistryOptions["users"] = {
  robot: { password: "not-a-real-secret-1", rights: { "acme/base": ["pull"], "acme/app": ["pull", "push"] } },
};
const basic = `Basic ${Buffer.from("robot:not-a-real-secret-1").toString("base64")}`;
const wrongBasic = `Basic ${Buffer.from("robot:not-a-real-secret-2").toString("base64")}`;
const Reply = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
});

let clouds: StandInClouds;

beforeAll(async () => {
  clouds = await startStandInClouds();
});

afterAll(() => clouds.close());

async function ask(host: string, path: string, authorization?: string) {
  return clouds.request({ host, path, headers: authorization === undefined ? {} : { authorization } });
}

async function tokenFrom(realmHost: string, service: string, scopes: readonly string[]) {
  const query = new URLSearchParams({ service });
  for (const scope of scopes) query.append("scope", scope);
  const answer = await ask(realmHost, `/token?${query}`, basic);
  return Reply.parse(JSON.parse(answer.body));
}

describe("a registry with a realm on another host", () => {
  const host = "registry.example.test";
  const realmHost = "auth.example.test";

  beforeAll(() => {
    clouds.docker.addRegistry({ host, realmHost, users });
  });

  test("says where its realm is, for the service and the scope", async () => {
    const answer = await ask(host, "/v2/acme/base/manifests/1");
    expect(answer.status).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe(
      `Bearer realm="https://${realmHost}/token",service="${host}",scope="repository:acme/base:pull"`,
    );
    expect((await ask(host, "/v2/")).headers["www-authenticate"]).not.toContain("scope");
  });

  test("opens the granted repositories to the realm's token, and takes no password", async () => {
    const reply = await tokenFrom(realmHost, host, ["repository:acme/base:pull,push", "repository:acme/none:pull"]);
    expect(reply.access_token).toBe(reply.token);
    expect(reply.expires_in).toBe(300);
    const bearer = `Bearer ${reply.token}`;
    expect((await ask(host, "/v2/acme/base/manifests/1", bearer)).status).toBe(200);
    expect((await ask(host, "/v2/acme/none/manifests/1", bearer)).status).toBe(401);
    expect((await ask(host, "/v2/acme/app/manifests/1", bearer)).status).toBe(401);
    expect((await ask(host, "/v2/acme/base/manifests/1", basic)).status).toBe(401);
    clouds.clock.advance(301);
    const late = await ask(host, "/v2/acme/base/manifests/1", bearer);
    clouds.clock.advance(-301);
    expect(late.status).toBe(401);
  });

  test("checks the password, the service and the scope", async () => {
    const query = `service=${host}&scope=repository:acme/base:pull`;
    expect((await ask(realmHost, `/token?${query}`, wrongBasic)).status).toBe(401);
    expect((await ask(realmHost, `/token?${query}`)).status).toBe(401);
    expect((await ask(realmHost, "/token?service=other&scope=repository:acme/base:pull", basic)).status).toBe(400);
    expect((await ask(realmHost, `/token?service=${host}&scope=acme/base`, basic)).status).toBe(400);
  });
});

test("a realm can name its token as it likes and leave its life unsaid", async () => {
  const options: DockerRegistryOptions = { host: "plain.example.test", users, tokenShape: "opaque" };
  clouds.docker.addRegistry({ ...options, tokenField: "access_token", expiresInSeconds: "unsaid" });
  const reply = await tokenFrom(options.host, options.host, ["repository:acme/base:pull"]);
  expect(Object.keys(reply)).toEqual(["access_token"]);
  expect(reply.access_token).not.toContain(".");
  expect((await ask(options.host, "/v2/acme/base/manifests/1", `Bearer ${reply.access_token}`)).status).toBe(200);
});

test("a realm can hand the password back as its token", async () => {
  const host = "echo.example.test";
  clouds.docker.addRegistry({ host, users, tokenShape: "echo" });
  const reply = await tokenFrom(host, host, ["repository:acme/base:pull"]);
  expect(Buffer.from(reply.token ?? "", "base64").toString()).toBe("not-a-real-secret-1");
});

test("a Basic-only registry takes the password itself and has no realm", async () => {
  const host = "basic.example.test";
  clouds.docker.addRegistry({ host, auth: "basic", users });
  expect((await ask(host, "/v2/")).headers["www-authenticate"]).toBe('Basic realm="Registry Realm"');
  expect((await ask(host, "/v2/", basic)).status).toBe(200);
  expect((await ask(host, "/v2/", wrongBasic)).status).toBe(401);
  expect((await ask(host, "/v2/acme/base/manifests/1", basic)).status).toBe(200);
  expect((await ask(host, "/token", basic)).status).toBe(404);
});

test("a registry can send its client to an attacker, who notes whether a credential came along", async () => {
  const attacker = clouds.docker.addAttacker("attacker.example.test");
  const host = "moved.example.test";
  clouds.docker.addRegistry({ host, auth: { redirectTo: "https://attacker.example.test/v2/" }, users });
  const answer = await ask(host, "/v2/", basic);
  expect(answer).toMatchObject({ status: 307, headers: { location: "https://attacker.example.test/v2/" } });
  await ask("attacker.example.test", "/token?service=x");
  await ask("attacker.example.test", "/token?service=x", basic);
  expect(attacker.requests.map((request) => request.carriedCredentials)).toEqual([false, true]);
  expect(JSON.stringify(attacker.requests)).not.toContain(basic.slice(6));
});

test("a registry can send several challenges", async () => {
  const host = "challenges.example.test";
  const challenges = ['Basic realm="a, b"', `Bearer realm="https://${host}/token",service="${host}"`];
  clouds.docker.addRegistry({ host, users, challenges });
  expect((await ask(host, "/v2/")).headers["www-authenticate"]).toBe(challenges.join(", "));
});
