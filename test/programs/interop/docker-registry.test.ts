import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PrivateRegistry, startPrivateRegistry } from "../../support/registry/private-registry.js";
import { judgeByUsers } from "../../support/registry/registry-realm.js";
import { type BrokerUnderTest, startBrokerFor } from "./broker-under-test.js";
import { isMissing, programs, whyMissing } from "./registry-programs.js";

const publisher = { user: "publisher", password: "not-a-real-secret-1" };
// bcrypt of "not-a-real-secret-1".
const htpasswd = "publisher:$2b$05$abcdefghijklmnopqrstuuqxRDsdWMRa8mYvFRa435pF2BFzA6eXS\n";

describe.skipIf(isMissing)(`a docker-registry with token authentication${whyMissing}`, () => {
  let registry: PrivateRegistry;
  let broker: BrokerUnderTest;

  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "registry.interop.test",
      programs,
      auth: {
        kind: "token",
        judge: judgeByUsers({
          publisher: { password: publisher.password, rights: { "*": ["pull", "push"] } },
          robot: { password: "not-a-real-secret-2", rights: { "acme/base": ["pull"], "acme/app": ["pull"] } },
        }),
      },
    });
    broker = await startBrokerFor(registry, { login: "robot:not-a-real-secret-2", passThrough: false });
    for (const repository of ["acme/base", "acme/app"]) {
      expect(await registry.push(repository, publisher)).toMatchObject({ exitCode: 0 });
    }
  });

  afterAll(async () => {
    await broker?.close();
    await registry?.close();
  });

  async function bearerFor(repository: string): Promise<string> {
    const reply = await broker.askAsJob({ registry: registry.host, repositories: [repository] });
    expect(reply.body).toMatchObject({
      tokens: [{ kind: "bearer", repositories: [repository], scopeEnforcedBy: "registry" }],
    });
    return reply.body.tokens[0].bearer;
  }

  test("a brokered bearer pulls the private image", async () => {
    const pulled = await registry.pull("acme/base", ["--src-registry-token", await bearerFor("acme/base")]);
    expect(pulled).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("without a bearer the pull is refused", async () => {
    const pulled = await registry.pull("acme/base", ["--src-no-creds"]);
    expect(pulled.exitCode).not.toBe(0);
    expect(pulled.stderr).toContain("unauthorized");
  });

  test("with the bearer of another repository the pull is refused", async () => {
    const pulled = await registry.pull("acme/app", ["--src-registry-token", await bearerFor("acme/base")]);
    expect(pulled.exitCode).not.toBe(0);
    expect(pulled.stderr).toContain("denied");
  });

  test("with a bearer that has expired the pull is refused", async () => {
    const bearer = await bearerFor("acme/base");
    const pulled = await registry.pull("acme/base", ["--src-registry-token", registry.expired(bearer)]);
    expect(pulled.exitCode).not.toBe(0);
    expect(pulled.stderr).toContain("unauthorized");
  });

  test("a repository that the stored login may not pull from is refused before a bearer is handed out", async () => {
    const reply = await broker.askAsJob({ registry: registry.host, repositories: ["acme/secret"] });
    expect(reply).toMatchObject({ status: 422, body: { code: "scope-not-enforceable" } });
    expect(reply.text).not.toContain("bearer");
  });

  test("a brokered bearer cannot push", async () => {
    const bearer = await bearerFor("acme/base");
    const pushed = await registry.pushWith("acme/base", ["--dest-registry-token", bearer]);
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("denied");
  });
});

describe.skipIf(isMissing)(`a docker-registry with a password file${whyMissing}`, () => {
  let registry: PrivateRegistry;

  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "basic.interop.test",
      programs,
      auth: { kind: "htpasswd", htpasswd },
    });
    expect(await registry.push("acme/base", publisher)).toMatchObject({ exitCode: 0 });
  });

  afterAll(() => registry?.close());

  test("a brokered config.json pulls the private image", async () => {
    const broker = await startBrokerFor(registry, { login: `publisher:${publisher.password}`, passThrough: true });
    const tokens = await broker.askAsJob({ registry: registry.host });
    const config = await broker.askAsJob({ registry: registry.host, format: "docker-config" });
    await broker.close();
    expect(tokens.body).toMatchObject({ tokens: [{ kind: "password", raw: true, scopeEnforcedBy: "none" }] });
    expect(config.status).toBe(200);
    // As it came: the reply's body is the whole file.
    const path = await registry.writeFile("config.json", config.text);
    expect(await registry.pull("acme/base", ["--src-authfile", path])).toMatchObject({ exitCode: 0, stderr: "" });
    expect((await registry.pull("acme/base", ["--src-no-creds"])).stderr).toContain("unauthorized");
  });

  test("nothing is minted where the registry issues no tokens", async () => {
    const broker = await startBrokerFor(registry, { login: `publisher:${publisher.password}`, passThrough: false });
    const reply = await broker.askAsJob({ registry: registry.host, repositories: ["acme/base"] });
    await broker.close();
    expect(reply).toMatchObject({ status: 422, body: { code: "nothing-to-mint" } });
  });
});
