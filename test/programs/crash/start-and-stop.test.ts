import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { keyEncryptionKeyId } from "../../../src/crypto/envelope.js";
import { findPostmaster } from "../../../src/db/embedded/postmaster.js";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import type { CloudEndpoint } from "../../support/clouds/cloud-endpoint.js";
import type { StandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { secretValue, watched } from "../../support/leak-watch.js";
import { createTestDatabase } from "../../support/test-database.js";
import { endServerProcesses, startServerProcess } from "./server-process.js";

const tokenLine = /FACTORY_SECRETS_TOKEN=(fso_\S+)/g;
const newKey = (): string => randomBytes(32).toString("base64");

afterEach(endServerProcesses);

describe("replicas that start at once on one empty database", () => {
  it("all come up, and exactly one of them prints the operator's token", async () => {
    const database = await createTestDatabase("empty");
    const settings = { DATABASE_URL: database.url, FACTORY_SECRETS_KEY: newKey() };
    const servers = [1, 2, 3].map(() => startServerProcess(settings));
    const urls = await Promise.all(servers.map((server) => server.listening()));
    const tokens = servers.flatMap((server) => [...server.said().matchAll(tokenLine)].map(([, token]) => token));
    expect(tokens).toHaveLength(1);
    for (const url of urls) {
      const reply = await fetch(`${url}/v1/factories`, { headers: { "OSF-TOKEN": tokens[0] ?? "" } });
      expect(reply.status).toBe(200);
    }
    for (const server of servers) server.signal("SIGTERM");
    expect(await Promise.all(servers.map(({ ended }) => ended))).toEqual([0, 0, 0]);
    await database.drop();
  });
});

describe("the key-encryption key", () => {
  it("that is wrong or missing refuses to start, and says which key id was expected", async () => {
    const database = await createTestDatabase();
    const key = newKey();
    const first = startServerProcess({ DATABASE_URL: database.url, FACTORY_SECRETS_KEY: key });
    await first.listening();
    first.signal("SIGTERM");
    expect(await first.ended).toBe(0);
    const expected = keyEncryptionKeyId(Buffer.from(key, "base64"));
    const other = newKey();
    for (const [given, sentence] of [
      [{ FACTORY_SECRETS_KEY: other }, keyEncryptionKeyId(Buffer.from(other, "base64"))],
      [{ FACTORY_SECRETS_KEY: "c2hvcnQ=" }, "32"],
      [{}, "FACTORY_SECRETS_KEY is not set"],
    ] as const) {
      const server = startServerProcess({ DATABASE_URL: database.url, ...given });
      expect(await server.ended).toBe(1);
      expect(server.said()).toContain(expected);
      expect(server.said()).toContain(sentence);
      expect(server.said()).not.toContain(other);
      expect(server.said()).not.toMatch(/\n\s+at /);
    }
    await database.drop();
  });
});

it("names every mistake in the settings at once", async () => {
  const server = startServerProcess({
    PORT: "x",
    DATABASE_URL: "mysql://u:not-a-real-secret@h",
    FACTORY_SECRETS_KEEY: "y",
  });
  expect(await server.ended).toBe(1);
  for (const part of ["PORT must", "DATABASE_URL must", "Did you mean FACTORY_SECRETS_KEY?"]) {
    expect(server.said()).toContain(part);
  }
  expect(server.said()).not.toContain("not-a-real-secret");
});

describe("SIGTERM", () => {
  const password = watched("not-a-real-secret-drain-2b2b");
  let broker: BrokeredFactory;
  let registry: CloudEndpoint;
  beforeAll(async () => {
    const openRegistry = ({ docker }: StandInClouds) => {
      const users = { ci: { password, rights: { "acme/app": ["pull"] } } } as const;
      registry = docker.addRegistry({ host: "ghcr.io", users }).registry;
    };
    broker = await startBrokeredFactory(openRegistry, {}, "a new database");
    await broker.putSecret("creds", `ci:${password}`);
    await broker.putConfig("- {type: generic, url: ghcr.io, generic_secret_name: creds}\n");
  });
  afterAll(() => broker.close());

  it("finishes what is in flight, takes nothing new, and exits 0", async () => {
    const { databaseUrl, key } = broker.service;
    const server = startServerProcess({ DATABASE_URL: databaseUrl, FACTORY_SECRETS_KEY: key, ...broker.environment });
    const url = await server.listening();
    const { token } = await broker.openJob();
    const hold = registry.hold();
    const inFlight = fetch(`${url}/v1/factories/${broker.factory.name}/registry-tokens`, {
      method: "POST",
      headers: { "OSF-TOKEN": token, "Content-Type": "application/json" },
      body: JSON.stringify({ registry: "ghcr.io", repositories: ["acme/app"] }),
    });
    await registry.received(1);
    const toldAt = performance.now();
    server.signal("SIGTERM");
    await expect
      .poll(() =>
        fetch(`${url}/healthz`).then(
          () => "answered",
          () => "refused",
        ),
      )
      .toBe("refused");
    hold.release();
    const reply = await inFlight;
    expect(reply.status).toBe(200);
    expect(await reply.json()).toMatchObject({ tokens: [{ registry: "ghcr.io" }] });
    expect(await server.ended).toBe(0);
    // It does not wait for clients that keep their connection open: those it would cut after ten seconds.
    expect(performance.now() - toldAt).toBeLessThan(10_000);
    const rows = await broker.events("registry-token.issued");
    expect(rows.at(-1)).toMatchObject({ requestId: reply.headers.get("x-request-id") });
  });
});

it("a service whose output nobody reads any more serves on, and stops when it is told to", async () => {
  const database = await createTestDatabase();
  const server = startServerProcess({ DATABASE_URL: database.url, FACTORY_SECRETS_KEY: newKey() });
  const url = await server.listening();
  server.stopReading();
  for (let count = 0; count < 5; count += 1) expect((await fetch(`${url}/v1/factories`)).status).toBe(401);
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
  await database.drop();
});

describe("the embedded database", () => {
  it("outlives a SIGKILL of the service, is adopted by the next with all that was acknowledged, and ends with it", async () => {
    const directory = await mkdtemp(join(tmpdir(), "factory-secrets-crash-"));
    const settings = { FACTORY_SECRETS_DATA_DIR: directory };
    const first = startServerProcess(settings);
    const url = await first.listening();
    const [, token = ""] = [...first.said().matchAll(tokenLine)][0] ?? [];
    const headers = { "OSF-TOKEN": token, "Content-Type": "application/json" };
    await fetch(`${url}/v1/factories`, { method: "POST", headers, body: JSON.stringify({ name: "acme" }) });
    const body = (): string => JSON.stringify({ value: secretValue("embedded") });
    const put = (n: number) =>
      fetch(`${url}/v1/factories/acme/secrets/s${n}`, { method: "PUT", headers, body: body() });
    const replies = await Promise.all(Array.from({ length: 50 }, (_, n) => put(n)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([201]));
    first.signal("SIGKILL");
    await first.ended;
    expect(await findPostmaster(join(directory, "postgres"))).toBeDefined();

    const second = startServerProcess(settings);
    const list = await fetch(`${await second.listening()}/v1/factories/acme/secrets?pageSize=200`, { headers });
    expect(await list.json()).toMatchObject({ items: { length: 50 } });
    expect(second.said()).not.toMatch(tokenLine);
    second.signal("SIGTERM");
    expect(await second.ended).toBe(0);
    expect(await findPostmaster(join(directory, "postgres"))).toBeUndefined();
    await rm(directory, { recursive: true });
  });
});
