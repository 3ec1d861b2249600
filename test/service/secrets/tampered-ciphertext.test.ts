import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { claimedDataKeyId } from "../../../src/crypto/envelope.js";
import { Metrics } from "../../../src/observability/metrics.js";
import { watched } from "../../support/leak-watch.js";
import { metricsNow } from "../../support/metrics-now.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const config = ["one", "two"]
  .map(
    (name) =>
      `- type: aws\n  region: eu-central-1\n  url: ${name === "one" ? 1 : 2}00000000000.dkr.ecr.eu-central-1.amazonaws.com\n  aws_creds_secret_name: ${name}\n`,
  )
  .join("");
const credentials =
  "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = not-a-real-secret-key-material\n";

let service: TestService;
let failuresBefore: number;
let refused = 0;
beforeAll(async () => {
  service = await startTestService();
  watched("not-a-real-secret-key-material");
  failuresBefore = await openFailures();
});
afterAll(() => service.close());

/** A factory with two secrets of two versions each, both named by entries. */
async function newFactory() {
  const factory = await service.createFactory();
  const path = `/v1/factories/${factory.name}`;
  const operator = service.as(service.operatorToken);
  for (const name of ["one", "two", "one", "two"]) {
    await operator.put(`${path}/secrets/${name}`).send({ value: credentials });
  }
  await operator.put(`${path}/config`).set("Content-Type", "application/yaml").send(config).expect(201);
  return { factory, path, operator };
}

async function ciphertextOf(factoryId: string, name: string, version: number): Promise<Buffer> {
  const row = await service.database.prisma.secretVersion.findFirst({
    where: { version, secret: { factoryId, name } },
  });
  return Buffer.from(row?.ciphertext ?? []);
}

async function replaceCiphertext(factoryId: string, bytes: Buffer): Promise<void> {
  await service.database.pool.query(
    `UPDATE secret_versions SET ciphertext = $2 WHERE version = 2
       AND secret_id = (SELECT id FROM secrets WHERE factory_id = $1 AND name = 'one')`,
    [factoryId, bytes],
  );
}

async function openFailures(): Promise<number> {
  return Number(/^factory_secrets_secret_open_failures_total (\d+)$/m.exec(await metricsNow(service))?.[1]);
}

const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
};

type Tampering = (bytes: Buffer, factoryId: string) => Promise<Buffer> | Buffer;
const tamperings: [string, Tampering][] = [
  ["moved from another version", (_bytes, factoryId) => ciphertextOf(factoryId, "one", 1)],
  ["moved from another secret", (_bytes, factoryId) => ciphertextOf(factoryId, "two", 2)],
  ["moved from another factory", async () => ciphertextOf((await newFactory()).factory.id, "one", 2)],
  ["truncated by a byte", (bytes) => bytes.subarray(0, -1)],
  ["truncated to its header", (bytes) => bytes.subarray(0, 29)],
  ["emptied", () => Buffer.alloc(0)],
  ["a byte longer", (bytes) => Buffer.concat([bytes, Buffer.of(0)])],
  ["flipped in its format", (bytes) => flipped(bytes, 0)],
  ["flipped in its key id", (bytes) => flipped(bytes, 1)],
  ["flipped in its nonce", (bytes) => flipped(bytes, 17)],
  ["flipped in its ciphertext", (bytes) => flipped(bytes, 29)],
  ["flipped in its tag", (bytes) => flipped(bytes, bytes.length - 1)],
];

describe("a ciphertext", () => {
  it.each(tamperings)("%s is refused with the one error, an audit event and a metric", async (_how, tamper) => {
    const { factory, path, operator } = await newFactory();
    const original = await ciphertextOf(factory.id, "one", 2);
    expect(claimedDataKeyId(original)).toMatch(/^[0-9a-f-]{36}$/);
    await replaceCiphertext(factory.id, await tamper(original, factory.id));
    const counted = vi.spyOn(Metrics.prototype, "secretOpenFailed");
    const registry = "100000000000.dkr.ecr.eu-central-1.amazonaws.com";
    const reply = await operator.post(`${path}/registry-tokens`).send({ registry });
    expect(expectProblem(reply, "secret-unreadable").detail).toBe(
      'The stored bytes of the secret "one" do not open. Set it again: fioctl secrets update one=...',
    );
    refused += 1;
    expect(counted).toHaveBeenCalledTimes(1);
    counted.mockRestore();
    const { body } = await operator.get(`${path}/audit?action=secret.open-failed`);
    expect(body.items).toMatchObject([
      { outcome: "failed", secret: "one", secretVersion: 2, factory: { id: factory.id } },
    ]);
  });

  it("that is refused is counted in what the service shows, once", async () => {
    expect(refused).toBe(tamperings.length);
    expect(await openFailures()).toBe(failuresBefore + refused);
  });
});
