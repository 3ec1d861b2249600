import { createServer as createHttpServer } from "node:http";
import { connect, isIP } from "node:net";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { parseAddressRanges } from "../../../src/outbound/addresses.js";
import { parseConnectTo } from "../../../src/outbound/connect-to.js";
import {
  createOutbound,
  type Outbound,
  type OutboundDeps,
  type OutboundSettings,
  outboundDefaults,
} from "../../../src/outbound/outbound.js";
import { listen, startTcpServer, startTlsServer, type TestServer, testAuthority } from "./tls-server.js";

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const host = "registry.example.test";
const server = await startTlsServer([host], (request, response) => {
  const path = request.url ?? "";
  if (path === "/redirect") return void response.writeHead(302, { location: "https://169.254.169.254/" }).end();
  if (path === "/big") return void response.end("x".repeat(70_000));
  if (path === "/endless") return void response.write("x".repeat(10));
  if (path === "/silent") return;
  if (path === "/500") return void response.writeHead(500).end();
  if (path === "/404") return void response.writeHead(404).end();
  if (path === "/cut") return void request.socket.destroy();
  response.setHeader("www-authenticate", ['Bearer realm="https://a"', "Basic"]);
  response.end(JSON.stringify({ host: request.headers.host, agent: request.headers["user-agent"] }));
});
afterAll(() => server.close());

async function outbound(settings: Partial<OutboundSettings> = {}, deps: OutboundDeps = {}): Promise<Outbound> {
  const { caPem } = await testAuthority();
  const made = createOutbound({ ...outboundDefaults, caCertificates: [caPem], ...settings }, deps);
  closers.push(() => made.close());
  return made;
}

function to(target: TestServer, name = host, port = 443) {
  return parseConnectTo(`${name}:${port}=127.0.0.1:${target.port}`).rules;
}

async function proxyServer(): Promise<{ server: TestServer; asked: string[]; authorizations: (string | undefined)[] }> {
  const asked: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const http = createHttpServer();
  http.on("connect", (request, socket, head) => {
    asked.push(request.url ?? "");
    authorizations.push(request.headers["proxy-authorization"]);
    const [address, port] = (request.url ?? "").split(":");
    const upstream = connect(Number(port), address, () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    socket.on("error", () => upstream.destroy());
  });
  const started = await listen(http);
  closers.push(started.close);
  return { server: started, asked, authorizations };
}

const problem = (code: string) => expect.objectContaining({ name: "Problem", code });

describe("a guarded call", () => {
  it("goes where CONNECT_TO says and verifies TLS for the original name", async () => {
    const reply = await (await outbound({ connectTo: to(server) })).request({ url: `https://${host}/` });
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body.toString())).toEqual({ host, agent: "factory-secrets" });
    expect(reply.headers["www-authenticate"]).toEqual(['Bearer realm="https://a"', "Basic"]);
  });

  it("refuses a certificate for another host", async () => {
    const other = await outbound({ connectTo: to(server, "other.example.test") });
    await expect(other.request({ url: "https://other.example.test/" })).rejects.toMatchObject({
      code: "upstream-unreachable",
      detail: expect.stringContaining("for another host"),
    });
  });

  it("refuses a certificate of an authority that nobody added", async () => {
    const other = await outbound({ connectTo: to(server), caCertificates: [] });
    await expect(other.request({ url: `https://${host}/` })).rejects.toMatchObject({
      code: "upstream-unreachable",
      detail: expect.stringContaining("FACTORY_SECRETS_CA_FILE"),
    });
  });

  it.each([
    ["http://registry.example.test/", "only https"],
    ["https://user:not-a-real-secret-1@registry.example.test/", "user or password"],
    ["not a url", "not a URL"],
  ])("refuses %s", async (url, sentence) => {
    await expect((await outbound({ connectTo: to(server) })).request({ url })).rejects.toMatchObject({
      code: "destination-refused",
      detail: expect.stringContaining(sentence),
    });
  });

  it("does not follow a redirect", async () => {
    const guarded = await outbound({ connectTo: to(server) });
    await expect(guarded.request({ url: `https://${host}/redirect` })).rejects.toEqual(problem("upstream-invalid"));
  });

  it("stops reading an oversized reply", async () => {
    const guarded = await outbound({ connectTo: to(server) });
    await expect(guarded.request({ url: `https://${host}/big` })).rejects.toEqual(problem("upstream-invalid"));
    await expect(guarded.request({ url: `https://${host}/`, maxBytes: 5 })).rejects.toEqual(
      problem("upstream-invalid"),
    );
  });

  it.each(["/silent", "/endless"])("gives up on %s when the time is over", async (path) => {
    const guarded = await outbound({ connectTo: to(server), totalTimeoutMs: 150 });
    await expect(guarded.request({ url: `https://${host}${path}` })).rejects.toEqual(problem("upstream-timeout"));
  });

  it("gives up on a server that accepts and never finishes the handshake", async () => {
    const mute = await startTcpServer(() => undefined);
    closers.push(mute.close);
    const guarded = await outbound({ connectTo: to(mute), connectTimeoutMs: 150 });
    await expect(guarded.request({ url: `https://${host}/` })).rejects.toEqual(problem("upstream-timeout"));
  });

  it("tells a server that speaks no HTTP from one that is away", async () => {
    const guarded = await outbound({ connectTo: parseConnectTo(`${host}:443=127.0.0.1:1`).rules });
    await expect(guarded.request({ url: `https://${host}/` })).rejects.toMatchObject({
      code: "upstream-unreachable",
      detail: expect.stringContaining("refuses connections"),
    });
    const cut = await outbound({ connectTo: to(server) });
    await expect(cut.request({ url: `https://${host}/cut` })).rejects.toEqual(problem("upstream-unreachable"));
  });

  it("rejects with the caller's reason when the caller goes away", async () => {
    const guarded = await outbound({ connectTo: to(server) });
    const gone = new Error("gone");
    const controller = new AbortController();
    const call = guarded.request({ url: `https://${host}/silent`, signal: controller.signal });
    setTimeout(() => controller.abort(gone), 30);
    await expect(call).rejects.toBe(gone);
  });
});

describe("the address guard", () => {
  const resolving = (...addresses: string[]) => ({
    resolve: async () => addresses.map((address) => ({ address, family: isIP(address) })),
  });

  it.each(["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00:ec2::254"])(
    "refuses a name that resolves to %s, without connecting",
    async (address) => {
      const guarded = await outbound({}, resolving(address));
      const call = guarded.request({ url: `https://${host}:${server.port}/` });
      await expect(call).rejects.toEqual(problem("destination-refused"));
      await expect(call).rejects.not.toMatchObject({ detail: expect.stringContaining(address) });
    },
  );

  it.each(["127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "8.8.8.8"])(
    "refuses a host written as the address %s",
    async (literal) => {
      const guarded = await outbound();
      await expect(guarded.request({ url: `https://${literal}/` })).rejects.toEqual(problem("destination-refused"));
    },
  );

  it("connects to the judged address only, although the name is rebound meanwhile", async () => {
    const before = server.connections();
    let lookups = 0;
    const resolve = async () => {
      lookups += 1;
      // First an allowed address where nothing listens, then the server that must not be reached.
      return [{ address: lookups === 1 ? "127.0.0.2" : "127.0.0.1", family: 4 }];
    };
    const allowAddresses = parseAddressRanges("127.0.0.2/32").ranges;
    const guarded = await outbound({ allowAddresses }, { resolve });
    const url = `https://${host}:${server.port}/`;
    await expect(guarded.request({ url })).rejects.toEqual(problem("upstream-unreachable"));
    expect(lookups).toBe(1);
    await expect(guarded.request({ url })).rejects.toEqual(problem("destination-refused"));
    expect(server.connections()).toBe(before);
  });

  it("uses the permitted one of several addresses", async () => {
    const allowAddresses = parseAddressRanges("127.0.0.1/32").ranges;
    const guarded = await outbound({ allowAddresses }, resolving("::1", "10.0.0.1", "127.0.0.1"));
    const reply = await guarded.request({ url: `https://${host}:${server.port}/` });
    expect(reply.status).toBe(200);
  });

  it("holds CONNECT_TO to exactly its host and port", async () => {
    const guarded = await outbound({ connectTo: to(server) }, resolving("127.0.0.1"));
    await expect(guarded.request({ url: `https://${host}:8443/` })).rejects.toEqual(problem("destination-refused"));
    await expect(guarded.request({ url: "https://sub.registry.example.test/" })).rejects.toEqual(
      problem("destination-refused"),
    );
  });

  it("refuses a CONNECT_TO target whose name resolves to a metadata address", async () => {
    const connectTo = parseConnectTo(`${host}:443=inside.example.test:443`).rules;
    const guarded = await outbound({ connectTo }, resolving("169.254.169.254"));
    await expect(guarded.request({ url: `https://${host}/` })).rejects.toEqual(problem("destination-refused"));
  });
});

describe("the outbound proxy", () => {
  it("is asked for the judged address, with its credentials, and TLS reaches the registry", async () => {
    const proxy = await proxyServer();
    const settings = { host: "127.0.0.1", port: proxy.server.port, secure: false, authorization: "Basic eDp5" };
    const guarded = await outbound({ connectTo: to(server), proxy: settings });
    expect((await guarded.request({ url: `https://${host}/` })).status).toBe(200);
    expect(proxy.asked).toEqual([`127.0.0.1:${server.port}`]);
    expect(proxy.authorizations).toEqual(["Basic eDp5"]);
  });

  it("is not asked for a refused address", async () => {
    const proxy = await proxyServer();
    const settings = { host: "127.0.0.1", port: proxy.server.port, secure: false };
    const resolve = async () => [{ address: "10.0.0.1", family: 4 }];
    const guarded = await outbound({ proxy: settings }, { resolve });
    await expect(guarded.request({ url: `https://${host}/` })).rejects.toEqual(problem("destination-refused"));
    expect(proxy.asked).toEqual([]);
  });

  it("gives a sentence when the proxy refuses", async () => {
    const refusing = createHttpServer().on("connect", (_request, socket) => {
      socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    });
    const started = await listen(refusing);
    closers.push(started.close);
    const settings = { host: "127.0.0.1", port: started.port, secure: false };
    const guarded = await outbound({ connectTo: to(server), proxy: settings });
    await expect(guarded.request({ url: `https://${host}/` })).rejects.toMatchObject({
      code: "upstream-unreachable",
      detail: expect.stringContaining("407"),
    });
  });
});

describe("the circuit around it", () => {
  const circuit = { failureLimit: 2, pauseMs: 60_000, maxPauseMs: 60_000 };

  it("opens after server errors and tells how calls ended", async () => {
    const outcomes: string[] = [];
    const guarded = await outbound(
      { connectTo: to(server), circuit },
      { observe: (call) => outcomes.push(`${call.host} ${call.outcome}`) },
    );
    const url = `https://${host}/500`;
    expect((await guarded.request({ url })).status).toBe(500);
    await guarded.request({ url });
    await expect(guarded.request({ url })).rejects.toEqual(problem("upstream-circuit-open"));
    expect(outcomes).toEqual([
      "registry.example.test:443 server-error",
      "registry.example.test:443 server-error",
      "registry.example.test:443 circuit-open",
    ]);
  });

  it("does not count refusals of the upstream, nor ours", async () => {
    const guarded = await outbound({ connectTo: to(server), circuit });
    for (let i = 0; i < 4; i += 1) {
      expect((await guarded.request({ url: `https://${host}/404` })).status).toBe(404);
      await expect(guarded.request({ url: "https://127.0.0.1/" })).rejects.toEqual(problem("destination-refused"));
    }
  });
});
