// One of the processes that the relay is measured with, so that each has a processor time of its own:
// `registry <MiB>` is a registry with one layer, over TLS; `pipe <port> <ca file>` is what streaming costs without a relay:
// undici to `http`, and nothing else. Prints where it is, as JSON.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Agent, request as undiciRequest } from "undici";
import { createTestCertificateAuthority } from "../test/support/certificates.js";
import { login, registryHost } from "./relay-names.js";

const mib = 1024 * 1024;

async function startRegistry(sizeMib: number): Promise<void> {
  const chunk = Buffer.alloc(mib, "layer ");
  const hash = createHash("sha256");
  for (let i = 0; i < sizeMib; i += 1) hash.update(chunk);
  const blob = `sha256:${hash.digest("hex")}`;
  const manifest = JSON.stringify({ schemaVersion: 2, layers: [{ digest: blob, size: sizeMib * mib }] }).padEnd(900);
  const digest = `sha256:${createHash("sha256").update(manifest).digest("hex")}`;
  const basic = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`;
  const authority = await createTestCertificateAuthority();
  const server = createTlsServer(await authority.issue([registryHost]), ({ url = "", headers }, response) => {
    if (headers.authorization !== basic) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="bench"' }).end();
    } else if (url.endsWith(`/manifests/${digest}`)) {
      const type = "application/vnd.oci.image.manifest.v1+json";
      response.writeHead(200, { "content-type": type, "content-length": manifest.length }).end(manifest);
    } else if (url.endsWith(`/blobs/${blob}`)) {
      response.writeHead(200, { "content-length": sizeMib * mib });
      Readable.from(repeated(chunk, sizeMib))
        .on("error", () => undefined)
        .pipe(response);
    } else response.writeHead(url === "/v2/" ? 200 : 404).end();
  });
  const { caPem } = authority;
  print({ port: await portOf(server), caPem, blob, digest, manifestBytes: manifest.length });
}

async function startPipe(port: number, caFile: string): Promise<void> {
  const dispatcher = new Agent({ connect: { servername: registryHost, ca: readFileSync(caFile, "utf8") } });
  const headers = { authorization: `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}` };
  const pass = async (url: string, response: ServerResponse): Promise<void> => {
    const reply = await undiciRequest(`https://127.0.0.1:${port}${url}`, { dispatcher, headers });
    response.writeHead(reply.statusCode, { "content-length": String(reply.headers["content-length"]) });
    await pipeline(reply.body, response);
  };
  const server = createHttpServer((request, response) => {
    pass(request.url ?? "", response).catch(() => response.destroy());
  });
  print({ port: await portOf(server) });
}

function* repeated(chunk: Buffer, times: number): Generator<Buffer> {
  for (let i = 0; i < times; i += 1) yield chunk;
}

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === "string") throw new Error("a server that listens has a port");
  return address.port;
}

const print = (where: object): void => console.log(JSON.stringify({ ...where, pid: process.pid }));

const [role, first = "", second = ""] = process.argv.slice(2);
if (role === "registry") await startRegistry(Number(first));
if (role === "pipe") await startPipe(Number(first), second);
