import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { metricsNow } from "../../support/metrics-now.js";
import { digestOf, newBlob, type RelayedRegistry, startRelayedRegistry } from "./relayed-registry.js";

let relayed: RelayedRegistry;
beforeAll(async () => {
  relayed = await startRelayedRegistry({
    settings: {
      FACTORY_SECRETS_RELAY_IDLE_SECONDS: "1",
      FACTORY_SECRETS_RELAY_MAX_STREAMS_PER_CALLER: "3",
      FACTORY_SECRETS_RELAY_MAX_STREAMS: "4",
    },
  });
});
afterAll(() => relayed.close());

const blobPath = (digest: string): string => `team/app/blobs/${digest}`;

/** Puts a blob at the registry. It knows parts, as registries do. */
function put(bytes: Buffer, digest = digestOf(bytes), headers: Record<string, string> = {}): string {
  relayed.on(`/v2/${blobPath(digest)}`, (request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const common = { "content-type": "application/octet-stream", etag: `"${digest}"`, ...headers };
    if (first === undefined) {
      response.writeHead(200, { ...common, "content-length": bytes.length });
      response.end(request.method === "HEAD" ? undefined : bytes);
      return;
    }
    if (Number(first) >= bytes.length) {
      // As docker's registry does: the length of the blob over a short body.
      response.writeHead(416, { ...common, "content-length": bytes.length }).end("no");
      return;
    }
    const end = last === "" || last === undefined ? bytes.length - 1 : Number(last);
    const part = bytes.subarray(Number(first), end + 1);
    const range = `bytes ${first}-${end}/${bytes.length}`;
    response.writeHead(206, { ...common, "content-length": part.length, "content-range": range }).end(part);
  });
  return blobPath(digest);
}

describe("a blob that the registry serves itself", () => {
  it("is sent byte for byte, with its length and digest, and no header that clients do not need", async () => {
    const { bytes, digest } = newBlob(700_000);
    const path = put(bytes, digest, { "set-cookie": "a=b", "strict-transport-security": "max-age=1" });
    const reply = await relayed.ask(path);
    expect([reply.status, digestOf(reply.body)]).toEqual([200, digest]);
    expect(reply.headers).toMatchObject({
      "content-length": "700000",
      "docker-content-digest": digest,
      etag: `"${digest}"`,
      "x-content-type-options": "nosniff",
    });
    expect(Object.keys(reply.headers)).not.toContain("set-cookie");
    expect(Object.keys(reply.headers)).not.toContain("strict-transport-security");
  });

  it("is sent when it is empty, named by sha512, or of a length that the registry does not tell", async () => {
    const empty = Buffer.alloc(0);
    expect(await relayed.ask(put(empty))).toMatchObject({ status: 200, body: empty });
    const { bytes, digest } = newBlob(100_000);
    const bySha512 = await relayed.ask(put(bytes, digestOf(bytes, "sha512")));
    expect([bySha512.status, digestOf(bySha512.body)]).toEqual([200, digest]);
    const other = newBlob(300_000);
    relayed.on(`/v2/${blobPath(other.digest)}`, (_request, response) => {
      response.writeHead(200);
      response.write(other.bytes.subarray(0, 1_000));
      response.end(other.bytes.subarray(1_000));
    });
    const reply = await relayed.ask(blobPath(other.digest));
    expect([reply.status, digestOf(reply.body)]).toEqual([200, other.digest]);
    expect(reply.headers["content-length"]).toBeUndefined();
  });

  it("is told of by HEAD without a body", async () => {
    const { bytes, digest } = newBlob(5_000);
    const reply = await relayed.ask(put(bytes), { method: "HEAD" });
    expect(reply).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect(reply.headers).toMatchObject({ "content-length": "5000", "docker-content-digest": digest });
  });

  it("is not sent as something that a browser would run", async () => {
    const { bytes } = newBlob(100);
    for (const type of ["text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript; charset=utf-8"]) {
      const reply = await relayed.ask(put(bytes, undefined, { "content-type": type }));
      expect(reply.headers["content-type"]).toBe("application/octet-stream");
    }
  });
});

describe("a part of a blob", () => {
  const { bytes, digest } = newBlob(10_000);
  const range = (value: string, others: Record<string, string> = {}) =>
    relayed.ask(put(bytes, digest), { headers: { range: value, ...others } });

  it("is sent as the registry cuts it, and If-Range goes with it", async () => {
    const reply = await range("bytes=100-199", { "if-range": `"${digest}"` });
    expect(reply).toMatchObject({ status: 206, body: bytes.subarray(100, 200) });
    expect(reply.headers).toMatchObject({ "content-range": "bytes 100-199/10000", "content-length": "100" });
    expect(relayed.received.at(-1)?.headers).toMatchObject({ range: "bytes=100-199", "if-range": `"${digest}"` });
  });

  it.each(["bytes=0-1,5-6", "bytes=0-0,-1", "lines=1-2", "bytes=", "bytes=a-b"])(
    "is the whole for the range %s, which the registry does not see",
    async (value) => {
      expect(await range(value)).toMatchObject({ status: 200, body: bytes });
      expect(relayed.received.at(-1)?.headers.range).toBeUndefined();
    },
  );

  it("that lies behind the end is 416, with a length of our own body", async () => {
    const reply = await range("bytes=20000-");
    expect(reply.status).toBe(416);
    expect(JSON.parse(reply.body.toString())).toMatchObject({ errors: [{ message: expect.any(String) }] });
    expect(reply.headers["content-length"]).toBe(String(reply.body.length));
  });

  it.each([
    ["without a request for one", undefined, { "content-range": "bytes 0-1/4" }],
    ["that does not tell which it is", "bytes=0-1", {}],
    ["of several parts", "bytes=0-1", { "content-type": "multipart/byteranges; boundary=x" }],
  ])("%s is not passed on", async (_what, value, headers) => {
    const odd = newBlob(4);
    relayed.on(`/v2/${blobPath(odd.digest)}`, (_request, response) => {
      response.writeHead(206, headers).end("ab");
    });
    const reply = await relayed.ask(blobPath(odd.digest), { headers: value === undefined ? {} : { range: value } });
    expect(reply.status).toBe(502);
  });

  it("that is the whole is checked like the whole", async () => {
    const { digest: other } = newBlob(10);
    put(bytes, other);
    const reply = await relayed.ask(blobPath(other), { headers: { range: "bytes=0-" } });
    expect(reply.error).toBeDefined();
    expect(reply.body.length).toBeLessThan(bytes.length);
  });
});

describe("a blob that is not what its digest says", () => {
  it.each([10, 200_000, 3_000_000])("of %i bytes is cut off, counted and recorded", async (length) => {
    const wrong = newBlob(length);
    const { digest } = newBlob(10);
    const reply = await relayed
      .ask(put(wrong.bytes, digest))
      .catch((error: Error) => ({ error, body: Buffer.alloc(0) }));
    expect(reply.error).toBeDefined();
    expect(reply.body.length).toBeLessThan(length);
    await vi.waitUntil(async () =>
      (await relayed.broker.events("image.digest-wrong")).some((event) => event.digest === digest),
    );
    const events = await relayed.broker.events("image.digest-wrong");
    expect(events.at(-1)).toMatchObject({
      outcome: "failed",
      of: "blob",
      registry: "registry.example.test",
      repository: "team/app",
      digest,
      actor: { kind: "job" },
    });
    const metrics = await metricsNow(relayed.broker.service);
    expect(metrics).toMatch(/factory_secrets_relay_wrong_digests_total\{of="blob"\} [1-9]/);
    expect(metrics).toContain(`factory_secrets_relay_blobs_total{outcome="digest-wrong"}`);
  });
});

describe("a registry that does not keep its word", () => {
  it.each([
    ["sends less than it said", (response: ServerResponse) => response.writeHead(200, { "content-length": 200_000 })],
    ["breaks off a body without a length", (response: ServerResponse) => response.writeHead(200)],
  ])("that %s breaks the client's connection too", async (_what, begin) => {
    const { digest } = newBlob(10);
    relayed.on(`/v2/${blobPath(digest)}`, (_request, response) => {
      begin(response);
      response.write(Buffer.alloc(150_000), () => response.destroy());
    });
    expect((await relayed.ask(blobPath(digest))).error).toBeDefined();
  });

  it("that resets before the first byte is an error in words", async () => {
    const { digest } = newBlob(10);
    relayed.on(`/v2/${blobPath(digest)}`, (request) => request.socket.destroy());
    const reply = await relayed.ask(blobPath(digest));
    expect(reply.status).toBe(502);
    expect(JSON.parse(reply.body.toString())).toMatchObject({
      errors: [{ message: expect.stringContaining("closed") }],
    });
  });

  it("that stands still is cut off after the idle time", async () => {
    const { digest } = newBlob(10);
    relayed.on(`/v2/${blobPath(digest)}`, (_request, response) => {
      response.writeHead(200, { "content-length": 200_000 });
      response.write(Buffer.alloc(150_000));
    });
    const reply = await relayed.ask(blobPath(digest));
    expect(reply.error).toBeDefined();
    expect(await metricsNow(relayed.broker.service)).toContain('outcome="registry-stalled"');
    await relayed.registryIsFree();
  });

  it.each([
    [404, 404, "BLOB_UNKNOWN"],
    [401, 403, "DENIED"],
    [403, 403, "DENIED"],
    [429, 429, "TOOMANYREQUESTS"],
    [500, 502, "UNAVAILABLE"],
    [400, 502, "UNAVAILABLE"],
  ])("that answers %i is answered %i, in our words and with their length", async (status, told, code) => {
    const { digest } = newBlob(10);
    relayed.on(`/v2/${blobPath(digest)}`, (_request, response) => {
      response.writeHead(status, { "content-length": 1_000, "content-type": "text/html" }).end(`<p>${"x".repeat(993)}`);
    });
    const reply = await relayed.ask(blobPath(digest));
    expect(reply.status).toBe(told);
    expect(JSON.parse(reply.body.toString()).errors[0].code).toBe(code);
    expect(reply.headers["content-length"]).toBe(String(reply.body.length));
  });
});

describe("the streams of the relay", () => {
  /** A blob of which the registry sends the beginning. It sends the rest when `finish` is called. */
  function putSlow() {
    const { bytes, digest } = newBlob(2_000_000);
    let finish: () => void = () => undefined;
    relayed.on(`/v2/${blobPath(digest)}`, (_request, response) => {
      response.writeHead(200, { "content-length": bytes.length });
      response.write(bytes.subarray(0, 100_000));
      finish = () => response.end(bytes.subarray(100_000));
    });
    return { path: blobPath(digest), finish: () => finish() };
  }

  it("take the client's pace, and cut off one that stops reading", async () => {
    const { bytes, digest } = newBlob(1_000_000);
    let sent = 0;
    relayed.on(`/v2/${blobPath(digest)}`, (_request, response) => {
      response.writeHead(200, { "content-length": bytes.length * 100 });
      const sendMore = () => {
        while (sent < bytes.length * 100 && response.write(bytes)) sent += bytes.length;
        sent += bytes.length;
      };
      response.on("drain", sendMore);
      sendMore();
    });
    const response = await relayed.begin(blobPath(digest));
    response.on("error", () => undefined);
    response.pause();
    await relayed.registryIsFree();
    // What sockets hold on the way is some megabytes; the rest was never asked for.
    expect(sent).toBeLessThan(bytes.length * 50);
    expect(await metricsNow(relayed.broker.service)).toContain('outcome="client-stalled"');
    response.destroy();
  });

  it("free the registry's connection when the client goes away", async () => {
    const slow = putSlow();
    const response = await relayed.begin(slow.path);
    response.on("error", () => undefined).destroy();
    await relayed.registryIsFree();
  });

  it("are as many as are allowed when a thousand are asked for at once, and the service goes on", async () => {
    const { bytes: layer, digest } = newBlob(2_000_000);
    let open = 0;
    let most = 0;
    // What is cut off after the idle time makes room for others, so they are counted where they arrive.
    relayed.on(`/v2/${blobPath(digest)}`, (_request, response) => {
      open += 1;
      most = Math.max(most, open);
      response.once("close", () => {
        open -= 1;
      });
      response.writeHead(200, { "content-length": layer.length });
      response.write(layer.subarray(0, 100_000));
    });
    const asked = await Promise.all(Array.from({ length: 1_000 }, () => relayed.begin(blobPath(digest))));
    expect(most).toBeGreaterThan(0);
    // One that was cut off may be seen to close after the next one has come.
    expect(most).toBeLessThanOrEqual(3 + 1);
    expect(new Set(asked.map(({ statusCode }) => statusCode))).toEqual(new Set([200, 429]));
    for (const response of asked) response.on("error", () => undefined).destroy();
    await relayed.registryIsFree();
    const { bytes } = newBlob(10);
    await vi.waitUntil(async () => (await relayed.ask(put(bytes))).status === 200);
  });

  it("are bounded for each caller and in all, with 429 and Retry-After, and places come back", async () => {
    const { token: other } = await relayed.broker.openJob();
    const slow = [putSlow(), putSlow(), putSlow(), putSlow()];
    const [first, second, third, fourth] = slow;
    const open = [await relayed.begin(first?.path ?? ""), await relayed.begin(second?.path ?? "")];
    open.push(await relayed.begin(third?.path ?? ""));
    const refused = await relayed.ask(fourth?.path ?? "");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(JSON.parse(refused.body.toString()).errors[0].code).toBe("TOOMANYREQUESTS");
    open.push(await relayed.begin(fourth?.path ?? "", { token: other }));
    const { bytes } = newBlob(10);
    expect((await relayed.ask(put(bytes), { token: other })).status).toBe(429);
    for (const { finish } of slow) finish();
    for (const response of open) {
      response.resume();
      await once(response, "end");
    }
    await vi.waitUntil(async () => (await relayed.ask(put(bytes), { token: other })).status === 200);
  });
});
