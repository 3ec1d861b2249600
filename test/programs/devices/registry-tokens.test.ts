import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { whileAnswering } from "../../support/cli/stand-in-service.js";
import { type Issued, makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, type Reply, register } from "../../support/devices/device-service.js";
import { watched } from "../../support/leak-watch.js";

const password = watched("not-a-real-secret-of-a-device-7c1d");
const script = fileURLToPath(new URL("../../../examples/device.sh", import.meta.url));
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

let files: Awaited<ReturnType<typeof makeServerFiles>>;
let broker: BrokeredFactory;
let device: Issued & { id: string };
let authority: string;
beforeAll(async () => {
  files = await makeServerFiles();
  broker = await startBrokeredFactory((clouds) => {
    const rights = { "acme/app": ["pull"], "acme/secret": ["pull"] } as const;
    clouds.docker.addRegistry({ host: "ghcr.io", users: { ci: { password, rights } }, expiresInSeconds: 3_600 });
  }, files.environment);
  await broker.putSecret("creds", `ci:${password}`);
  await broker.putConfig("- type: generic\n  url: ghcr.io\n  generic_secret_name: creds\n");
  const root = await makeRoot();
  const grants = [{ registry: "ghcr.io", repositories: ["acme/app"], actions: ["pull" as const] }];
  authority = await register(broker.service, broker.factory, { certificates: [root], policy: { grants } });
  device = await makeDevice(root, broker.factory.name);
});
afterAll(async () => {
  await broker.close();
  await files.remove();
});

function ask(body: object): Promise<Pick<Reply, "status" | "body">> {
  const { deviceUrl } = broker.service;
  const options = {
    method: "POST",
    cert: device.pem,
    key: device.keyPem,
    ca: files.caPem,
    headers: { "Content-Type": "application/json" },
  };
  return new Promise((resolve, reject) => {
    const sent = request(`${deviceUrl}/v1/factories/${broker.factory.name}/registry-tokens`, options, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      reply.on("end", () => resolve({ status: reply.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on("error", reject).end(JSON.stringify(body));
  });
}

describe("a device that asks for registry tokens", () => {
  it("gets what its authority's policy grants, and the audit says by which authority and certificate", async () => {
    expect(await ask({})).toMatchObject({ status: 200, body: { tokens: [{ repositories: ["acme/app"] }] } });
    const [event] = await broker.events("registry-token.issued");
    expect(event).toMatchObject({
      actor: { kind: "device", id: device.id },
      evidence: { authority: { id: authority }, serial: expect.stringMatching(/^[0-9a-f]+$/i) },
    });
  });

  it("asks the database for its audit row alone, once its certificate and its token are known", async () => {
    for (let times = 0; times < 2; times += 1) expect(await ask({})).toMatchObject({ status: 200 });
    const { pool, prisma } = broker.service.database;
    const statements = vi.spyOn(pool, "query");
    const reads = vi.spyOn(prisma, "$queryRawUnsafe");
    expect(await ask({})).toMatchObject({ status: 200 });
    const texts = [...statements.mock.calls, ...reads.mock.calls].map(([statement]) => JSON.stringify(statement));
    expect(texts.filter((text) => text.includes("INSERT INTO audit_events"))).toHaveLength(1);
    // What runs by itself meanwhile (the sealer, the poll of generations, the keys' upkeep) reads none of these.
    expect(texts.filter((text) => /device_authorities|denied_devices|broker-facts|caller-by/.test(text))).toEqual([]);
    vi.restoreAllMocks();
  });

  it("gets nothing beyond it", async () => {
    const reply = await ask({ registry: "ghcr.io", repositories: ["acme/secret"], allowBroader: true });
    expect(reply).toMatchObject({ status: 403, body: { code: "outside-grants" } });
  });

  it("gets nothing that lives longer than the policy allows", async () => {
    const root = await makeRoot();
    const policy = { maxTtlSeconds: 600 };
    await register(broker.service, broker.factory, { certificates: [root], policy });
    device = await makeDevice(root, broker.factory.name);
    const reply = await ask({ registry: "ghcr.io", repositories: ["acme/app"] });
    expect(reply).toMatchObject({ status: 422, body: { code: "ttl-not-available" } });
    expect(reply.body.detail).toContain("600 s");
  });
});

it.skipIf(!hasCurl)("examples/device.sh writes a config.json, and leaves the old one when it is refused", async () => {
  const root = await makeRoot();
  const grants = [{ registry: "ghcr.io", repositories: ["acme/app"], actions: ["pull" as const] }];
  await register(broker.service, broker.factory, { certificates: [root], policy: { grants } });
  const known = await makeDevice(root, broker.factory.name);
  const directory = await mkdtemp(join(tmpdir(), "device-sh-"));
  const config = join(directory, "docker", "config.json");
  const run = async (who: Issued, url = broker.service.deviceUrl) => {
    await writeFile(join(directory, "client.pem"), who.pem);
    await writeFile(join(directory, "pkey.pem"), who.keyPem);
    await writeFile(join(directory, "root.crt"), files.caPem);
    const env = { PATH: process.env.PATH, CERTIFICATES: directory, CONFIG: config, FACTORY: broker.factory.name };
    const child = spawn("sh", [script], { env: { ...env, DEVICE_URL: url }, stdio: "ignore" });
    return new Promise<number | null>((resolve) => child.on("exit", resolve));
  };
  expect(await run(known)).toBe(0);
  const written = await readFile(config, "utf8");
  expect(Object.keys(JSON.parse(written).auths)).toEqual(["ghcr.io"]);
  expect((await stat(config)).mode & 0o777).toBe(0o600);
  expect(await run(await makeDevice(await makeRoot(), broker.factory.name))).toBe(1);
  expect(await readFile(config, "utf8")).toBe(written);
  for (const status of [200, 302])
    expect(
      await whileAnswering(
        (_, response) => void response.writeHead(status, { location: "/" }).end("<html></html>"),
        (url) => run(known, url),
      ),
    ).toBe(1);
  expect(await readdir(join(directory, "docker"))).toEqual(["config.json"]);
  expect(await readFile(config, "utf8")).toBe(written);
  await rm(directory, { recursive: true });
});
