import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PrivateRegistry, startPrivateRegistry } from "../support/registry/private-registry.js";
import { type BrokerUnderTest, brokerFor } from "./broker-under-test.js";

const dockerRegistry = process.env.FACTORY_SECRETS_TEST_DOCKER_REGISTRY;
const skopeo = process.env.FACTORY_SECRETS_TEST_SKOPEO;
const isMissing = dockerRegistry === undefined || skopeo === undefined;
const reason = isMissing
  ? " (skipped: FACTORY_SECRETS_TEST_DOCKER_REGISTRY and FACTORY_SECRETS_TEST_SKOPEO do not name the programs)"
  : "";
const programs = { dockerRegistry: dockerRegistry ?? "", skopeo: skopeo ?? "" };
const publisher = { user: "publisher", password: "not-a-real-secret-1" };
// bcrypt of "not-a-real-secret-1".
const htpasswd = "publisher:$2b$05$abcdefghijklmnopqrstuuqxRDsdWMRa8mYvFRa435pF2BFzA6eXS\n";

describe.skipIf(isMissing)(`a docker-registry with token authentication${reason}`, () => {
  let registry: PrivateRegistry;
  let broker: BrokerUnderTest;

  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "registry.interop.test",
      programs,
      auth: {
        kind: "token",
        users: {
          publisher: { password: publisher.password, rights: { "*": ["pull", "push"] } },
          robot: { password: "not-a-real-secret-2", rights: { "acme/base": ["pull"], "acme/app": ["pull"] } },
        },
      },
    });
    broker = brokerFor(registry, { login: "robot:not-a-real-secret-2", passThrough: false });
    for (const repository of ["acme/base", "acme/app"]) {
      expect(await registry.push(repository, publisher)).toMatchObject({ exitCode: 0 });
    }
  }, 30_000);

  afterAll(async () => {
    await broker?.close();
    await registry?.close();
  });

  async function bearerFor(repository: string): Promise<string> {
    const token = await broker.token([repository]);
    return token.kind === "bearer" ? token.bearer : expect.unreachable("the registry issues bearers");
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

  test("a brokered bearer cannot push", async () => {
    const bearer = await bearerFor("acme/base");
    const pushed = await registry.pushWith("acme/base", ["--dest-registry-token", bearer]);
    expect(pushed.exitCode).not.toBe(0);
    expect(pushed.stderr).toContain("denied");
  });
});

describe.skipIf(isMissing)(`a docker-registry with a password file${reason}`, () => {
  let registry: PrivateRegistry;

  beforeAll(async () => {
    registry = await startPrivateRegistry({
      host: "basic.interop.test",
      programs,
      auth: { kind: "htpasswd", htpasswd },
    });
    expect(await registry.push("acme/base", publisher)).toMatchObject({ exitCode: 0 });
  }, 30_000);

  afterAll(() => registry?.close());

  test("a brokered config.json pulls the private image", async () => {
    const broker = brokerFor(registry, { login: `publisher:${publisher.password}`, passThrough: true });
    const token = await broker.token(undefined);
    await broker.close();
    expect(token).toMatchObject({ kind: "password", raw: true, scopeEnforcedBy: "none" });
    const login = token.kind === "password" ? `${token.username}:${token.password}` : "";
    const config = { auths: { [token.registry]: { auth: Buffer.from(login).toString("base64") } } };
    const path = await registry.writeFile("config.json", JSON.stringify(config));
    expect(await registry.pull("acme/base", ["--src-authfile", path])).toMatchObject({ exitCode: 0, stderr: "" });
    expect((await registry.pull("acme/base", ["--src-no-creds"])).stderr).toContain("unauthorized");
  });

  test("nothing is minted where the registry issues no tokens", async () => {
    const broker = brokerFor(registry, { login: `publisher:${publisher.password}`, passThrough: false });
    const refused = expect(broker.token(["acme/base"])).rejects.toMatchObject({ code: "nothing-to-mint" });
    await refused.finally(() => broker.close());
  });
});
