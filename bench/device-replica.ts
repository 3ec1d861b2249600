import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Api, expectStatus } from "../demo/api-client.js";
import { azure } from "../demo/stand-in-accounts.js";
import { startService } from "../demo/throw-away-service.js";
import { readEmbeddedConnection } from "../src/db/embedded/connection-file.js";
import { createTestCertificateAuthority } from "../test/support/certificates.js";
import { makeDevice, makeRoot } from "../test/support/devices/device-certificates.js";
import { freePort } from "../test/support/free-port.js";
import type { ClientTls } from "./measure-load.js";

/** Where devices are served, and what one of them shows. */
export type DeviceReplica = { url: string; pid: number; tls: ClientTls; stop(): Promise<void> };

/**
 * Registers an authority, and starts a second replica on the database of the first: one that speaks TLS has no port
 * without it, to which the other loads could be compared.
 * @param input.directory - of the first replica, which has a factory "bench"
 */
export async function startDeviceReplica(
  api: Api,
  operatorToken: string,
  input: { directory: string; environment: Record<string, string>; interrupted: AbortSignal },
): Promise<DeviceReplica> {
  const root = await makeRoot();
  const policy = { grants: [{ registry: azure.registry }] };
  const authority = { name: "bench", certificates: root.pem, policy };
  expectStatus(await api(operatorToken, "/v1/factories/bench/device-authorities", { body: authority }), 201);
  const device = await makeDevice(root, "bench");
  const port = await freePort();
  const { directory, interrupted } = input;
  const data = join(directory, "data");
  const { url: databaseUrl = "" } = (await readEmbeddedConnection(data)) ?? {};
  const { caPem, ...files } = await writeCertificate(directory);
  const environment = {
    ...input.environment,
    DATABASE_URL: databaseUrl,
    FACTORY_SECRETS_KEY_FILE: join(data, "key-encryption-key"),
    FACTORY_SECRETS_TLS_CERT_FILE: files.certFile,
    FACTORY_SECRETS_TLS_KEY_FILE: files.keyFile,
    FACTORY_SECRETS_DEVICE_PORT: String(port),
  };
  const replica = await startService(directory, { environment, interrupted });
  const tls = { cert: device.pem, key: device.keyPem, ca: caPem };
  return { url: `https://127.0.0.1:${port}`, pid: replica.pid, tls, stop: () => replica.stop() };
}

async function writeCertificate(directory: string) {
  const authority = await createTestCertificateAuthority();
  const { cert, key } = await authority.issue(["127.0.0.1"]);
  const certFile = join(directory, "tls.pem");
  const keyFile = join(directory, "tls.key");
  await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]);
  return { certFile, keyFile, caPem: authority.caPem };
}
