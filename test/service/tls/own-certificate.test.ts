import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type SecureVersion, TLSSocket } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openTlsCertificate, type TlsFiles } from "../../../src/http/tls-certificate.js";
import {
  createTestCertificateAuthority,
  type ServerCertificate,
  type TestCertificateAuthority,
} from "../../support/certificates.js";
import { startTestService, type TestService } from "../../support/test-service.js";

const host = "secrets.example.test";
let authority: TestCertificateAuthority;
let directory: string;
beforeAll(async () => {
  authority = await createTestCertificateAuthority();
  directory = await mkdtemp(join(tmpdir(), "tls-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function writePair(folder: string, { cert, key }: ServerCertificate): Promise<TlsFiles> {
  const files = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key)]);
  return files;
}

const serialOf = ({ cert }: ServerCertificate) => new X509Certificate(cert).serialNumber;

describe("the service with a certificate of its own", () => {
  let service: TestService;
  let files: TlsFiles;
  let first: ServerCertificate;
  let port: number;
  beforeAll(async () => {
    first = await authority.issue([host, "127.0.0.1"]);
    files = await writePair(directory, first);
    service = await startTestService({
      FACTORY_SECRETS_TLS_CERT_FILE: files.certFile,
      FACTORY_SECRETS_TLS_KEY_FILE: files.keyFile,
    });
    port = Number(new URL(service.url).port);
  });
  afterAll(() => service.close());

  async function handshake(versions: { minVersion?: SecureVersion; maxVersion?: SecureVersion } = {}) {
    const socket = connect({ host: "127.0.0.1", port, servername: host, ca: authority.caPem, ...versions });
    await once(socket, "secureConnect");
    const seen = { serial: socket.getPeerX509Certificate()?.serialNumber, protocol: socket.getProtocol() };
    socket.destroy();
    return seen;
  }

  function get(path: string): Promise<{ status: number; serial: string | undefined }> {
    return new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port, servername: host, ca: authority.caPem, path, agent: false };
      const sent = request(options, (reply) => {
        const { socket } = reply;
        const serial = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.serialNumber : undefined;
        reply.resume().on("end", () => resolve({ status: reply.statusCode ?? 0, serial }));
      });
      sent.on("error", reject).end();
    });
  }

  it("answers over TLS, to whoever trusts its authority", async () => {
    expect(await get("/healthz")).toMatchObject({ status: 200 });
    const stranger = connect({ host: "127.0.0.1", port, servername: host });
    const [error] = await once(stranger, "error");
    expect(error).toMatchObject({ code: expect.stringMatching(/UNABLE_TO|SELF_SIGNED/) });
  });

  it("speaks TLS 1.2 and 1.3 and nothing older", async () => {
    expect((await handshake({ maxVersion: "TLSv1.2" })).protocol).toBe("TLSv1.2");
    expect((await handshake()).protocol).toBe("TLSv1.3");
    await expect(handshake({ minVersion: "TLSv1", maxVersion: "TLSv1.1" })).rejects.toThrow();
  });

  it("closes a connection that speaks plain HTTP, and goes on", async () => {
    const socket = connectPlain(port, "127.0.0.1");
    socket.on("error", () => undefined).end("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    let said = "";
    socket.setEncoding("latin1").on("data", (text) => {
      said += text;
    });
    await once(socket, "close");
    expect(said).not.toContain("HTTP/1.1 200");
    expect(await get("/healthz")).toMatchObject({ status: 200 });
  });

  it("shows a new certificate to new connections without a restart, and keeps the old one while the files do not fit", async () => {
    expect((await handshake()).serial).toBe(serialOf(first));
    const second = await authority.issue([host, "127.0.0.1"]);
    await writeFile(files.certFile, second.cert);
    await expect.poll(() => warnings(service)).toContainEqual(expect.stringMatching(/is not that of/));
    expect((await handshake()).serial).toBe(serialOf(first));
    await writeFile(files.keyFile, second.key);
    await expect.poll(async () => (await handshake()).serial).toBe(serialOf(second));
    expect((await get("/healthz")).serial).toBe(serialOf(second));
  });
});

function warnings({ logLines }: TestService): string[] {
  return logLines.map((line) => String(JSON.parse(line).msg));
}

describe("the files of a certificate", () => {
  let folder: string;
  let pair: ServerCertificate;
  let problems: string[];
  let reloads: number;
  beforeEach(async () => {
    folder = await mkdtemp(join(directory, "files-"));
    pair = await authority.issue([host]);
    problems = [];
    reloads = 0;
  });
  function open(files: TlsFiles) {
    return openTlsCertificate({
      files,
      everyMs: 3_600_000,
      onProblem: (sentence) => problems.push(sentence),
      onReload: () => {
        reloads += 1;
      },
    });
  }

  it.each([
    ["no certificate file", { cert: undefined }, /cert\.pem \(FACTORY_SECRETS_TLS_CERT_FILE\) cannot be read/],
    ["no key file", { key: undefined }, /key\.pem \(FACTORY_SECRETS_TLS_KEY_FILE\) cannot be read/],
    [
      "text that is no certificate",
      { cert: "hello" },
      /cert\.pem \(FACTORY_SECRETS_TLS_CERT_FILE\) holds no certificate/,
    ],
    ["text that is no key", { key: "hello" }, /key\.pem \(FACTORY_SECRETS_TLS_KEY_FILE\) holds no private key/],
    ["a certificate that is cut off", { cert: "-----BEGIN CERTIFICATE-----\nMIIB" }, /holds no certificate/],
  ])("are refused at the start with %s", async (_what, change, sentence) => {
    const files = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
    const { cert, key }: { cert: string | undefined; key: string | undefined } = { ...pair, ...change };
    if (cert !== undefined) await writeFile(files.certFile, cert);
    if (key !== undefined) await writeFile(files.keyFile, key);
    expect(() => open(files)).toThrow(sentence);
  });

  it("are refused at the start when the key is another's", async () => {
    const files = await writePair(folder, { cert: pair.cert, key: (await authority.issue([host])).key });
    expect(() => open(files)).toThrow(/is not that of the first certificate/);
  });

  it("may be symbolic links that are replaced at once, as certbot and Kubernetes do", async () => {
    const renewed = await authority.issue([host]);
    const [old, next] = [await mkdtemp(join(folder, "old-")), await mkdtemp(join(folder, "new-"))];
    await writePair(old, pair);
    await writePair(next, renewed);
    const link = join(folder, "live");
    await symlink(old, link);
    const certificate = open({ certFile: join(link, "cert.pem"), keyFile: join(link, "key.pem") });
    await symlink(next, `${link}-new`);
    await rename(`${link}-new`, link);
    certificate.reload();
    expect(certificate.current()).toEqual({ ...renewed, minVersion: "TLSv1.2" });
    expect([reloads, problems]).toEqual([1, []]);
    certificate.close();
  });

  it("are complained about once for each thing that is wrong, and used again when it is mended", async () => {
    const files = await writePair(folder, pair);
    const certificate = open(files);
    for (const broken of ["", "half", "half"]) {
      await writeFile(files.certFile, broken);
      certificate.reload();
      certificate.reload();
    }
    expect(problems).toEqual([
      expect.stringMatching(/holds no certificate in PEM\. The certificate from before stays/),
    ]);
    await rm(files.keyFile);
    await rm(files.certFile);
    certificate.reload();
    expect(problems).toHaveLength(2);
    expect(certificate.current()).toMatchObject(pair);
    const renewed = await authority.issue([host]);
    await writePair(folder, renewed);
    certificate.reload();
    expect(certificate.current()).toMatchObject(renewed);
    expect([reloads, problems.length]).toEqual([1, 2]);
    certificate.close();
  });

  it("give every server that follows them the new pair, with what else it asked for", async () => {
    const files = await writePair(folder, pair);
    const certificate = open(files);
    const given: object[] = [];
    certificate.keepUpToDate({ setSecureContext: (options) => given.push(options) }, { sessionTimeout: 1 });
    const renewed = await authority.issue([host]);
    await writePair(folder, renewed);
    certificate.reload();
    expect(given).toEqual([{ ...renewed, minVersion: "TLSv1.2", sessionTimeout: 1 }]);
    certificate.close();
  });

  it("may hold an expired certificate, with a warning that says since when", async () => {
    const expired = await authority.issue([host], { notAfter: new Date(Date.now() - 1_000) });
    const certificate = open(await writePair(folder, expired));
    certificate.reload();
    expect(problems).toEqual([expect.stringMatching(/expired at \d{4}-/)]);
    certificate.close();
  });
});
