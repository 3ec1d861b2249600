import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { whileAnswering } from "../../support/cli/stand-in-service.js";
import { type Issued, makeDevice, makeRoot } from "../../support/devices/device-certificates.js";
import { makeServerFiles, type Reply, register } from "../../support/devices/device-service.js";
import { watched } from "../../support/leak-watch.js";

const password = watched("not-a-real-secret-of-a-device-7c1d");
const script = fileURLToPath(new URL("../../../examples/device.sh", import.meta.url));
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

const Times = z.object({ expiresAt: z.string(), refreshAfter: z.string() });

let files: Awaited<ReturnType<typeof makeServerFiles>>;
let broker: BrokeredFactory;
let device: Issued & { id: string };
let authority: string;
beforeAll(async () => {
  files = await makeServerFiles();
  broker = await startBrokeredFactory((clouds) => {
    const rights = { "acme/app": ["pull"], "acme/secret": ["pull"] } as const;
    const users = { ci: { password, rights } };
    clouds.docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 });
    const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds;
    clouds.docker.addRegistry({
      host: "exp.example.test",
      users,
      expiresInSeconds: "unsaid",
      claims: (claims) => ({ ...claims, exp: inSeconds(300) }),
    });
    clouds.docker.addRegistry({
      host: "both.example.test",
      users,
      expiresInSeconds: 60,
      claims: (claims) => ({ ...claims, exp: inSeconds(300) }),
    });
    clouds.docker.addRegistry({ host: "long.example.test", users, expiresInSeconds: 40 * 86_400 });
    clouds.docker.addRegistry({ host: "silent.example.test", users, expiresInSeconds: "unsaid", tokenShape: "opaque" });
  }, files.environment);
  await broker.putSecret("creds", `ci:${password}`);
  const hosts = ["ghcr.io", "exp.example.test", "both.example.test", "long.example.test", "silent.example.test"];
  await broker.putConfig(hosts.map((url) => `- type: generic\n  url: ${url}\n  generic_secret_name: creds\n`).join(""));
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

  it("gets none from the moment at which it is denied, though this replica was not told", async () => {
    const { pool } = broker.service.database;
    await pool.query("ALTER TABLE denied_devices DISABLE TRIGGER denied_devices_announce_withdrawal");
    const { serial } = device;
    for (const denied of [{ device_id: device.id }, { authority_id: authority, serial: serial.toLowerCase() }]) {
      expect(await ask({})).toMatchObject({ status: 200 });
      const row = { id: randomUUID(), factory_id: broker.factory.id, device_id: null, authority_id: null, ...denied };
      await pool.query(
        `INSERT INTO denied_devices (id, factory_id, device_id, authority_id, serial, created_by_kind, created_by_id, created_by_name)
         SELECT id, factory_id, device_id, authority_id, serial, 'operator', '', ''
         FROM jsonb_populate_record(NULL::denied_devices, $1)`,
        [row],
      );
      expect(await ask({})).toMatchObject({ status: 401 });
      expect(await ask({ registry: "nowhere.example.test" })).toMatchObject({ status: 401 });
      await pool.query("DELETE FROM denied_devices WHERE id = $1", [row.id]);
    }
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
    const others = texts.filter((text) => !text.includes("INSERT INTO audit_events"));
    expect(others.filter((text) => /device_authorities|denied_devices|broker-facts|caller-by/.test(text))).toEqual([]);
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

  it.each([
    ["exp.example.test", /lives (?:300|299) s/],
    ["both.example.test", /lives (?:300|299) s/],
    ["long.example.test", /lives 34(?:56000|55999) s/],
    ["silent.example.test", /does not say how long this token lives/],
  ])("gets no token of %s under a policy of 120 s", async (registry, reason) => {
    const root = await makeRoot();
    await register(broker.service, broker.factory, { certificates: [root], policy: { maxTtlSeconds: 120 } });
    device = await makeDevice(root, broker.factory.name);
    const reply = await ask({ registry, repositories: ["acme/app"] });
    expect(reply).toMatchObject({ status: 422, body: { code: "ttl-not-available" } });
    expect(reply.body.detail).toMatch(reason);
  });

  it("gets one whose latest end is within the policy, and the audit has that end", async () => {
    const root = await makeRoot();
    await register(broker.service, broker.factory, { certificates: [root], policy: { maxTtlSeconds: 301 } });
    device = await makeDevice(root, broker.factory.name);
    const reply = await ask({ registry: "both.example.test", repositories: ["acme/app"] });
    expect(reply).toMatchObject({ status: 200, body: { tokens: [{ scopeVerified: true }] } });
    const [token] = z.object({ tokens: z.array(Times).length(1) }).parse(reply.body).tokens;
    const secondsTo = (time = "") => (Date.parse(time) - Date.now()) / 1_000;
    expect(secondsTo(token?.expiresAt)).toBeGreaterThan(200);
    expect(secondsTo(token?.refreshAfter)).toBeLessThan(60);
    const event = (await broker.events("registry-token.issued")).at(-1);
    expect(event).toMatchObject({ expiresAt: token?.expiresAt, scopeVerified: true });
  });

  it("is not told a life that the registry never stated", async () => {
    const root = await makeRoot();
    await register(broker.service, broker.factory, { certificates: [root], policy: {} });
    device = await makeDevice(root, broker.factory.name);
    const demand = { repositories: ["acme/app"], minTtlSeconds: 120 };
    const silent = await ask({ registry: "silent.example.test", ...demand });
    expect(silent).toMatchObject({ status: 422, body: { code: "ttl-not-available" } });
    expect(silent.body.detail).toMatch(/does not say how long its tokens live/);
    expect(silent.body.detail).not.toContain("60 s");
    const stated = await ask({ registry: "exp.example.test", ...demand });
    expect(stated).toMatchObject({ status: 200 });
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
