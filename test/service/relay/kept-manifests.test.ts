import type { Server } from "node:http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { digestOf, newBlob, type RelayedRegistry, registryHost, startRelayedRegistry } from "./relayed-registry.js";

let relayed: RelayedRegistry;
beforeAll(async () => {
  relayed = await startRelayedRegistry();
});
afterAll(() => relayed.close());

const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** A manifest of its own, at these references of the registry. */
function put(repository: string, references: readonly string[], padding = ""): { digest: string; bytes: Buffer } {
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config: { digest: newBlob(1).digest }, padding }),
  );
  const digest = digestOf(bytes);
  for (const reference of [...references, digest]) {
    relayed.on(`/v2/${repository}/manifests/${reference}`, (request, response) => {
      const head = { "content-type": manifestType, "content-length": bytes.length, "docker-content-digest": digest };
      response.writeHead(200, head).end(request.method === "HEAD" ? undefined : bytes);
    });
  }
  return { digest, bytes };
}

const connectionsOf = (server: Server): Promise<number> =>
  new Promise((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))));

const asked = (part: string): number => relayed.received.filter(({ url }) => url.includes(part)).length;

describe("a manifest", () => {
  it("is sent as the registry has it, by tag and by digest", async () => {
    const { digest, bytes } = put("team/app", ["v1"]);
    for (const reference of ["v1", digest]) {
      const reply = await relayed.ask(`team/app/manifests/${reference}`);
      expect(reply).toMatchObject({ status: 200, body: bytes });
      expect(reply.headers).toMatchObject({
        "content-type": manifestType,
        "content-length": String(bytes.length),
        "docker-content-digest": digest,
      });
    }
  });

  it("is told of by HEAD, from the registry and from memory", async () => {
    const { digest, bytes } = put("team/app", ["v2"]);
    const expected = { "content-length": String(bytes.length), "docker-content-digest": digest };
    for (const reference of ["v2", digest]) {
      const reply = await relayed.ask(`team/app/manifests/${reference}`, { method: "HEAD" });
      expect(reply).toMatchObject({ status: 200, headers: expected });
      expect(reply.body).toHaveLength(0);
    }
    await relayed.ask(`team/app/manifests/${digest}`);
    const before = asked(digest);
    const reply = await relayed.ask(`team/app/manifests/${digest}`, { method: "HEAD" });
    expect(reply).toMatchObject({ status: 200, headers: expected });
    expect(asked(digest)).toBe(before);
  });

  it("costs the registry one request for each tag when many jobs pull the image at once, and each pull is recorded", async () => {
    const { digest, bytes } = put("team/popular", ["unheld"]);
    await relayed.ask("team/popular/manifests/unheld");
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    relayed.on("/v2/team/popular/manifests/latest", (_request, response) => {
      void held.then(() => response.writeHead(200, { "content-type": manifestType }).end(bytes));
    });
    const { server } = relayed.broker.service;
    const before = await connectionsOf(server);
    const burst = Array.from({ length: 100 }, (_, i) =>
      relayed.ask(`team/popular/manifests/${i % 2 === 0 ? "latest" : digest}`),
    );
    // Those by digest are answered from memory; those by tag wait.
    await Promise.all(burst.filter((_, i) => i % 2 === 1));
    await vi.waitUntil(async () => (await connectionsOf(server)) >= before + 50);
    await relayed.ask("team/popular/manifests/unheld");
    release();
    for (const { status, body } of await Promise.all(burst)) expect([status, digestOf(body)]).toEqual([200, digest]);
    expect(asked(digest)).toBe(0);
    expect(asked("/v2/team/popular/manifests/latest")).toBe(1);
    const events = await relayed.broker.events("image.pulled");
    expect(events.filter(({ repository }) => repository === "team/popular")).toHaveLength(102);
  });

  it("moves with its tag, although the digest that the tag had is in memory", async () => {
    put("team/app", ["moving"]);
    await relayed.ask("team/app/manifests/moving");
    const { digest } = put("team/app", ["moving"]);
    expect((await relayed.ask("team/app/manifests/moving")).headers["docker-content-digest"]).toBe(digest);
  });

  it("in memory is shown to nobody by the digest at another repository, where the registry has it not", async () => {
    const { digest } = put("team/secret", ["v1"]);
    expect((await relayed.ask(`team/secret/manifests/${digest}`)).status).toBe(200);
    const reply = await relayed.ask(`team/app/manifests/${digest}`);
    expect(reply.status).toBe(404);
    expect(JSON.parse(reply.body.toString()).errors[0].code).toBe("MANIFEST_UNKNOWN");
  });

  it("in memory does not outlive the version of the secret that opened it", async () => {
    const { digest } = put("team/app", []);
    await relayed.ask(`team/app/manifests/${digest}`);
    const other = await relayed.broker.openJob({ grants: [{ registry: registryHost, repositories: ["team/other"] }] });
    expect((await relayed.ask(`team/app/manifests/${digest}`, { token: other.token })).status).toBe(403);
    await relayed.broker.putSecret("registry_login", "ci:not-a-real-secret-1");
    expect((await relayed.ask(`team/app/manifests/${digest}`)).status).toBe(403);
    await relayed.restoreLogin();
    expect((await relayed.ask(`team/app/manifests/${digest}`)).status).toBe(200);
  });
});

describe("a manifest that is not what it should be", () => {
  it.each(["sha256", "sha512"] as const)(
    "with another %s digest than asked for is 502 and an event",
    async (algorithm) => {
      const digest = digestOf(newBlob(5).bytes, algorithm);
      relayed.on(`/v2/team/app/manifests/${digest}`, (_request, response) => {
        response.writeHead(200, { "docker-content-digest": digest }).end('{"schemaVersion":2}');
      });
      expect((await relayed.ask(`team/app/manifests/${digest}`)).status).toBe(502);
      const events = await relayed.broker.events("image.digest-wrong");
      expect(events.at(-1)).toMatchObject({ of: "manifest", digest, repository: "team/app" });
      expect((await relayed.broker.events("image.pulled")).some((event) => event.digest === digest)).toBe(false);
    },
  );

  it("by tag, with a header that names another digest, is 502", async () => {
    relayed.on("/v2/team/app/manifests/lying", (_request, response) => {
      response.writeHead(200, { "docker-content-digest": newBlob(5).digest }).end('{"schemaVersion":2}');
    });
    expect((await relayed.ask("team/app/manifests/lying")).status).toBe(502);
  });

  it.each([
    ["that says how long it is", true],
    ["that does not say it", false],
  ])("longer than 4 MiB, %s, is 502", async (_what, isStated) => {
    const bytes = Buffer.alloc(4 * 1024 * 1024 + 1, "x");
    relayed.on("/v2/team/app/manifests/long", (_request, response) => {
      response.on("error", () => undefined);
      response.writeHead(200, isStated ? { "content-length": bytes.length } : {}).end(bytes);
    });
    expect((await relayed.ask("team/app/manifests/long")).status).toBe(502);
  });

  it("that breaks off is 502", async () => {
    relayed.on("/v2/team/app/manifests/broken", (_request, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("{", () => response.destroy());
    });
    expect((await relayed.ask("team/app/manifests/broken")).status).toBe(502);
  });

  it("of 4 MiB is sent", async () => {
    const { bytes } = put("team/app", ["large"], "x".repeat(4 * 1024 * 1024 - 300));
    const reply = await relayed.ask("team/app/manifests/large");
    expect([reply.status, digestOf(reply.body)]).toEqual([200, digestOf(bytes)]);
  });
});
