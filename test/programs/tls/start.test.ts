import { spawn } from "node:child_process";
import { randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { createTestCertificateAuthority } from "../../support/certificates.js";
import { createTestDatabase, type TestDatabase } from "../../support/test-database.js";
import { endServerProcesses, type ServerProcess, startServerProcess } from "../crash/server-process.js";

const healthCheck = fileURLToPath(new URL("../../../scripts/health-check.mjs", import.meta.url));
const key = randomBytes(32).toString("base64");
let directory: string;
let database: TestDatabase;
let settings: Record<string, string>;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tls-start-"));
  database = await createTestDatabase();
  settings = {
    DATABASE_URL: database.url,
    FACTORY_SECRETS_KEY: key,
    FACTORY_SECRETS_TLS_CERT_FILE: join(directory, "cert.pem"),
    FACTORY_SECRETS_TLS_KEY_FILE: join(directory, "key.pem"),
  };
});
afterEach(endServerProcesses);
afterAll(async () => {
  await database.drop();
  await rm(directory, { recursive: true });
});

/** @returns the serial of the certificate that is there now */
async function issueFiles(names: readonly string[]): Promise<string> {
  const { cert, key: privateKey } = await (await createTestCertificateAuthority()).issue(names);
  await writeFile(join(directory, "cert.pem"), cert);
  await writeFile(join(directory, "key.pem"), privateKey);
  return new X509Certificate(cert).serialNumber;
}

it("refuses to start with a certificate that cannot be used, in one sentence", async () => {
  const server = startServerProcess(settings);
  expect(await server.ended).toBe(1);
  expect(server.said()).toContain("cert.pem (FACTORY_SECRETS_TLS_CERT_FILE) cannot be read.\n");
  expect(server.said()).not.toMatch(/\n\s+at /);
});

async function serialShown(port: number): Promise<string | undefined> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const serial = socket.getPeerX509Certificate()?.serialNumber;
  socket.destroy();
  return serial;
}

it.each([
  ["on SIGHUP", (server: ServerProcess) => server.signal("SIGHUP")],
  ["by itself", () => undefined],
])("shows new connections a renewed certificate %s, without a restart", async (_how, ask) => {
  const first = await issueFiles(["factory-secrets.example.test"]);
  const server = startServerProcess(settings);
  const port = Number(new URL(await server.listening()).port);
  expect(await serialShown(port)).toBe(first);
  const second = await issueFiles(["factory-secrets.example.test"]);
  ask(server);
  await expect.poll(() => serialShown(port)).toBe(second);
});

it("prints an https URL, outlives SIGHUP, and is found healthy by the check of the image", async () => {
  await issueFiles(["factory-secrets.example.test"]);
  const server = startServerProcess({ ...settings, HOST: "0.0.0.0" });
  const url = await server.listening();
  expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
  expect(server.said()).not.toContain("plain HTTP");
  server.signal("SIGHUP");
  const env = { PATH: process.env.PATH ?? "", PORT: new URL(url).port };
  const tls = { FACTORY_SECRETS_TLS_CERT_FILE: settings.FACTORY_SECRETS_TLS_CERT_FILE };
  expect(await once(spawn(process.execPath, [healthCheck], { env: { ...env, ...tls } }), "exit")).toEqual([0, null]);
  // Without TLS in its settings it speaks plain HTTP, which this server does not.
  expect(await once(spawn(process.execPath, [healthCheck], { env }), "exit")).toEqual([1, null]);
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
});
