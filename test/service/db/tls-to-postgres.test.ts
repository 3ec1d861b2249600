import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { databaseTrouble } from "../../../src/core/database-errors.js";
import { withClient } from "../../../src/db/connections.js";
import { explainConnection } from "../../../src/db/wait-for-database.js";
import { readSettings, SettingsError } from "../../../src/settings/settings.js";
import {
  createTestCertificateAuthority,
  type ServerCertificate,
  type TestCertificateAuthority,
} from "../../support/certificates.js";

let directory: string;
let authority: TestCertificateAuthority;
let caFile: string;
let server: Server | undefined;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tls-to-postgres-"));
  authority = await createTestCertificateAuthority();
  caFile = join(directory, "ca.pem");
  await writeFile(caFile, authority.caPem);
});
afterEach(() => server?.close());
afterAll(() => rm(directory, { recursive: true }));

/** Answers the request for TLS (Postgres documentation, "SSL Session Encryption") in a way of the test's. */
async function listenFor(answer: (socket: Socket) => void): Promise<number> {
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => answer(socket));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}

const speakTls =
  (certificate: ServerCertificate) =>
  (socket: Socket): void => {
    socket.write("S");
    const secure = new TLSSocket(socket, { isServer: true, ...certificate });
    secure.on("error", () => undefined);
    secure.once("data", () => secure.destroy());
  };

async function explained(port: number, options: string): Promise<{ trouble: unknown; message: string }> {
  const url = `postgresql://u:not-a-real-password@127.0.0.1:${port}/db?${options}`;
  const error = await withClient(url, "test", async () => undefined).then(
    () => new Error("it connected"),
    (thrown: unknown) => thrown,
  );
  const told = explainConnection(error, url);
  expect(told).toMatchObject({ name: "DatabaseUnusable" });
  return { trouble: databaseTrouble(error), message: told instanceof Error ? told.message : "" };
}

describe("what is wrong with TLS to Postgres is a sentence", () => {
  const trusted = () => `sslmode=verify-full&sslrootcert=${caFile}`;

  it("for a server that speaks none", async () => {
    const port = await listenFor((socket) => socket.end("N"));
    expect(await explained(port, "sslmode=require")).toEqual({
      trouble: "tls",
      message: expect.stringMatching(/does not speak TLS, which sslmode in the URL asks for/),
    });
  });

  it("for a certificate that nobody here trusts", async () => {
    const port = await listenFor(speakTls(await authority.issue(["127.0.0.1"])));
    const { trouble, message } = await explained(port, "sslmode=verify-full");
    expect([trouble, message]).toEqual(["tls", expect.stringMatching(/not trusted here \(\w+\)\. Add sslrootcert=/)]);
  });

  it("for a certificate of another name", async () => {
    const port = await listenFor(speakTls(await authority.issue(["database.example.test"])));
    const { trouble, message } = await explained(port, trusted());
    expect([trouble, message]).toEqual(["tls", expect.stringMatching(/for another host name/)]);
  });

  it("for a certificate that has expired", async () => {
    const expired = await authority.issue(["127.0.0.1"], { notAfter: new Date(Date.now() - 1_000) });
    const port = await listenFor(speakTls(expired));
    const { trouble, message } = await explained(port, trusted());
    expect([trouble, message]).toEqual(["tls", expect.stringMatching(/not valid today \(CERT_HAS_EXPIRED\)/)]);
  });

  it("for something that is no TLS, or no Postgres", async () => {
    const noTls = await listenFor((socket) => socket.end("SHTTP/1.1 400 x\r\n\r\n"));
    expect(await explained(noTls, "sslmode=require")).toMatchObject({ trouble: "tls" });
    server?.close();
    const noPostgres = await listenFor((socket) => socket.end("HTTP/1.1 400 x\r\n\r\n"));
    expect(await explained(noPostgres, "sslmode=require")).toMatchObject({ trouble: "tls" });
  });

  it("for a connection that ends in the handshake", async () => {
    const port = await listenFor((socket) => socket.end("S"));
    expect(await explained(port, "sslmode=require")).toMatchObject({ trouble: "away" });
  });

  it("for a file in the URL that is not there, before anything is connected", () => {
    const url = `postgresql://u:not-a-real-password@127.0.0.1/db?sslrootcert=${directory}/none.pem`;
    expect(() => readSettings({ DATABASE_URL: url })).toThrow(SettingsError);
    expect(() => readSettings({ DATABASE_URL: url })).toThrow(/DATABASE_URL: sslrootcert names a file that cannot be/);
  });
});
