import { hash, randomUUID, X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, type RequestOptions, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DevicePolicy } from "../../../src/identity/devices/contract.js";
import { readAuthority } from "../../../src/identity/devices/read-authority.js";
import { deleteAuthority, insertAuthority, updateAuthority } from "../../../src/identity/devices/store.js";
import { createTestCertificateAuthority } from "../certificates.js";
import type { TestService } from "../test-service.js";
import type { Issued } from "./device-certificates.js";

const tester = { kind: "operator", id: "00000000-0000-4000-8000-000000000001", name: "test" } as const;

export type Reply = { status: number; body: Record<string, unknown>; isReused: boolean };

/** Files of a server certificate, and the root that a device has to trust. */
export async function makeServerFiles() {
  const directory = await mkdtemp(join(tmpdir(), "devices-"));
  const authority = await createTestCertificateAuthority();
  const { cert, key } = await authority.issue(["127.0.0.1"]);
  const certFile = join(directory, "cert.pem");
  const keyFile = join(directory, "key.pem");
  await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]);
  const environment = {
    FACTORY_SECRETS_TLS_CERT_FILE: certFile,
    FACTORY_SECRETS_TLS_KEY_FILE: keyFile,
    FACTORY_SECRETS_DEVICE_PORT: "0",
  };
  /** Puts another certificate in its place. @returns its serial number */
  const renew = async (): Promise<string> => {
    const renewed = await authority.issue(["127.0.0.1"]);
    await Promise.all([writeFile(certFile, renewed.cert), writeFile(keyFile, renewed.key)]);
    return new X509Certificate(renewed.cert).serialNumber;
  };
  return { directory, caPem: authority.caPem, environment, renew, remove: () => rm(directory, { recursive: true }) };
}

/** Asks who one is, with a certificate. */
export function whoAmI(
  { deviceUrl }: Pick<TestService, "deviceUrl">,
  device: Pick<Issued, "pem" | "keyPem"> | undefined,
  options: RequestOptions = {},
): Promise<Reply> {
  const shown = device && { cert: device.pem, key: device.keyPem };
  const all = { rejectUnauthorized: false, agent: new Agent({ maxCachedSessions: 0 }), ...shown, ...options };
  return new Promise((resolve, reject) => {
    const sent = request(`${deviceUrl}/v1/whoami`, all, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      reply.on("end", () =>
        resolve({ status: reply.statusCode ?? 0, body: JSON.parse(text), isReused: sent.reusedSocket }),
      );
    });
    sent.on("error", reject).end();
  });
}

/** Registers an authority past the API, as its route does. @returns its id */
export async function register(
  service: TestService,
  factory: { id: string },
  { certificates, policy = {} }: { certificates: readonly Issued[]; policy?: DevicePolicy },
): Promise<string> {
  const pem = certificates.map((one) => one.pem).join("\n");
  const authority = readAuthority(pem);
  if (!authority) throw new Error("this is no authority");
  const id = randomUUID();
  const subjects = [authority.root, ...authority.intermediates].map(({ subjectHash }) => subjectHash);
  const fingerprint = hash("sha256", new X509Certificate(pem).raw, "buffer");
  await changing(service, factory, (transaction) =>
    insertAuthority(transaction, {
      id,
      factoryId: factory.id,
      name: `authority ${id}`,
      fingerprint,
      subjects,
      certificates: pem,
      policy,
      at: new Date(),
      actor: tester,
    }),
  );
  return id;
}

type Change = Parameters<Parameters<TestService["database"]["prisma"]["$transaction"]>[0]>[0];

/** Makes a change of a factory's devices, and raises its generation with it. */
export async function changing(
  { database }: TestService,
  factory: { id: string },
  change: (transaction: Change) => Promise<unknown>,
): Promise<void> {
  await database.prisma.$transaction(async (transaction) => {
    await transaction.factory.update({ where: { id: factory.id }, data: { generation: { increment: 1 } } });
    await change(transaction);
  });
}

export const putRevocationLists = (
  service: TestService,
  factory: { id: string },
  { authority, lists }: { authority: string; lists: readonly Buffer[] },
) =>
  changing(service, factory, (transaction) =>
    updateAuthority(transaction, authority, { revocationLists: lists, at: new Date() }),
  );

export const withdraw = (service: TestService, factory: { id: string }, authority: string) =>
  changing(service, factory, (transaction) => deleteAuthority(transaction, authority));

/** The reasons of refused devices in a factory's audit, oldest first. */
export async function refusals(service: TestService, factory: string): Promise<Record<string, unknown>[]> {
  const reply = await service
    .as(service.operatorToken)
    .get(`/v1/factories/${factory}/audit?action=device.refused`)
    .expect(200);
  return reply.body.items.toReversed();
}

export const oneSentence = "This certificate is not accepted. The audit of its factory says why.";
