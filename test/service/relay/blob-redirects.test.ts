import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { digestOf, newBlob, type RelayedRegistry, startRelayedRegistry, storageHost } from "./relayed-registry.js";

const ownStorage = "blobs.relay.example.test";
const settings = { FACTORY_SECRETS_PUBLIC_URL: "https://relay.example.test" };

let relayed: RelayedRegistry;
/** The same, for an entry whose blobs the service fetches from wherever they are. */
let streaming: RelayedRegistry;
beforeAll(async () => {
  relayed = await startRelayedRegistry({ settings, hosts: [ownStorage] });
  streaming = await startRelayedRegistry({ settings, entry: "  relay: stream\n" });
});
afterAll(async () => {
  await relayed.close();
  await streaming.close();
});

/** Lets the registry answer a new blob with a redirect. */
function redirected(at: RelayedRegistry, location: string | undefined, status = 307): { path: string; digest: string } {
  const { digest } = newBlob(10);
  at.on(`/v2/team/app/blobs/${digest}`, (_request, response) => {
    response.writeHead(status, { ...(location !== undefined && { location }), "content-length": 3 }).end("x\n\n");
  });
  return { path: `team/app/blobs/${digest}`, digest };
}

/** A blob in the storage, and where. */
function stored(at: RelayedRegistry, host = storageHost) {
  const { bytes, digest } = newBlob(150_000);
  const place = `/layer/${digest}?X-Amz-Signature=abc`;
  at.on(`${host}${place}`, (_request, response) => {
    response.writeHead(200, { "content-length": bytes.length }).end(bytes);
  });
  return { location: `https://${host}${place}`, digest, bytes };
}

describe("a redirect of a blob", () => {
  it.each([301, 302, 303, 307, 308])("with %i is handed on as 307, for GET and HEAD", async (status) => {
    const location = `https://${storageHost}/layer?X-Amz-Signature=a%2Fb&x=1`;
    for (const method of ["GET", "HEAD"]) {
      const reply = await relayed.ask(redirected(relayed, location, status).path, { method });
      expect(reply).toMatchObject({ status: 307, headers: { location, "content-length": "0" } });
      expect(reply.body).toHaveLength(0);
    }
    expect(relayed.received.filter(({ host }) => host === storageHost)).toEqual([]);
  });

  it.each([
    ["/artifacts-downloads/x?token=1", "https://registry.example.test/artifacts-downloads/x?token=1"],
    ["../elsewhere", "https://registry.example.test/v2/team/app/elsewhere"],
    [`//${storageHost}/x`, `https://${storageHost}/x`],
    [`https://${storageHost}/x#part`, `https://${storageHost}/x`],
  ])("to %s is made absolute", async (location, absolute) => {
    expect((await relayed.ask(redirected(relayed, location).path)).headers.location).toBe(absolute);
  });

  it.each([
    "https://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://127.0.0.1:8443/",
    "https://10.0.0.1/",
    "https://localhost/",
    "https://2130706433/",
    `http://${storageHost}/x`,
    `https://user:pass@${storageHost}/x`,
    "file:///etc/passwd",
    "ftp://example.com/",
    "https://",
    "https://no-such-name.invalid/",
  ])("to %s goes to nobody", async (location) => {
    for (const at of [relayed, streaming]) {
      const reply = await at.ask(redirected(at, location).path);
      expect(reply.status).toBeGreaterThanOrEqual(400);
      expect(reply.headers.location).toBeUndefined();
      expect(JSON.parse(reply.body.toString()).errors).toHaveLength(1);
    }
  });

  it.each([undefined, ""])("with the location %j is 502", async (location) => {
    expect((await relayed.ask(redirected(relayed, location).path)).status).toBe(502);
  });

  it("of a manifest or a list is 502", async () => {
    for (const path of ["team/app/manifests/latest", `team/app/manifests/${newBlob(1).digest}`, "team/app/tags/list"]) {
      relayed.on(`/v2/${path}`, (_request, response) => {
        response.writeHead(307, { location: `https://${storageHost}/x` }).end();
      });
      expect((await relayed.ask(path)).status).toBe(502);
    }
  });

  it("to a name below the relay's own is followed by the service, without the credential", async () => {
    const { location, digest, bytes } = stored(relayed, ownStorage);
    relayed.on(`/v2/team/app/blobs/${digest}`, (_request, response) => response.writeHead(302, { location }).end());
    const reply = await relayed.ask(`team/app/blobs/${digest}`);
    expect([reply.status, digestOf(reply.body)]).toEqual([200, digestOf(bytes)]);
    const { headers } = relayed.received.find(({ host }) => host === ownStorage) ?? {};
    expect(headers?.authorization).toBeUndefined();
  });
});

describe("an entry with relay: stream", () => {
  it("has its blobs fetched by the service, wherever they are, without the credential", async () => {
    const { location, digest } = stored(streaming);
    streaming.on(`/v2/team/app/blobs/${digest}`, (_request, response) => response.writeHead(302, { location }).end());
    const reply = await streaming.ask(`team/app/blobs/${digest}`, { headers: { range: "bytes=0-" } });
    expect([reply.status, digestOf(reply.body)]).toEqual([200, digest]);
    const { headers } = streaming.received.find(({ host }) => host === storageHost) ?? {};
    expect(headers).toMatchObject({ range: "bytes=0-" });
    expect(headers?.authorization).toBeUndefined();
    expect(headers?.cookie).toBeUndefined();
  });

  it("has wrong bytes of the storage cut off", async () => {
    const { location } = stored(streaming);
    expect((await streaming.ask(redirected(streaming, location).path)).error).toBeDefined();
  });

  it("follows a bounded number of redirects", async () => {
    streaming.on(`${storageHost}/round`, (_request, response) => {
      response.writeHead(302, { location: "/round" }).end();
    });
    const before = streaming.received.length;
    expect((await streaming.ask(redirected(streaming, `https://${storageHost}/round`).path)).status).toBe(502);
    expect(streaming.received.length - before).toBeLessThan(10);
  });

  it.each([401, 403, 404, 500])("does not show the error %i of the storage", async (status) => {
    streaming.on(`${storageHost}/broken`, (_request, response) => {
      response.writeHead(status, { "content-length": 900 }).end("<Error>".padEnd(900));
    });
    const reply = await streaming.ask(redirected(streaming, `https://${storageHost}/broken`).path);
    expect(reply.status).toBe(502);
    expect(reply.body.toString()).not.toContain("<Error>");
    expect(reply.headers["content-length"]).toBe(String(reply.body.length));
  });
});
