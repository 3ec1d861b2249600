import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { KeyUnavailable } from "../../../src/crypto/key-encryption-key.js";
import { openKeys, openKeysPatiently } from "../../../src/service/key-source.js";
import { readSettings } from "../../../src/settings/settings.js";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { addKmsKey, keeper } from "../../support/crypto/sources/key-clouds.js";
import { secretValue } from "../../support/leak-watch.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

let clouds: StandInClouds;
let arn: string;
let directory: string;
let environment: Record<string, string>;
let service: TestService;
beforeAll(async () => {
  clouds = await startStandInClouds();
  arn = addKmsKey(clouds);
  directory = mkdtempSync(join(tmpdir(), "factory-secrets-kms-"));
  const caFile = join(directory, "ca.pem");
  writeFileSync(caFile, clouds.caPem);
  // As a machine's role or an operator's environment would: the SDK finds them by itself.
  vi.stubEnv("AWS_ACCESS_KEY_ID", keeper.accessKeyId);
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", keeper.secretAccessKey);
  environment = {
    FACTORY_SECRETS_KEY: "",
    FACTORY_SECRETS_KEYS: `awskms:///${arn}`,
    FACTORY_SECRETS_CONNECT_TO: clouds.connectTo,
    FACTORY_SECRETS_CA_FILE: caFile,
  };
  service = await startOwnTestService(environment);
  await service.createFactory("acme");
});
afterAll(async () => {
  clouds.aws.kms.heal();
  await service.close();
  await clouds.close();
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});
afterEach(() => {
  clouds.aws.kms.heal();
  clouds.aws.kmsKeys.setState(arn, "enabled");
});

const put = (factory: string) =>
  service.as(service.operatorToken).put(`/v1/factories/${factory}/secrets/a`).send({ value: secretValue() });
const ready = () => service.as(undefined).get("/readyz");
const settings = () => readSettings({ DATABASE_URL: service.databaseUrl, ...environment });
const open = () => openKeys(service.database.prisma, settings(), undefined);

describe("an installation whose only key is in KMS", () => {
  it("works, and its database holds what KMS has wrapped", async () => {
    await put("acme").expect(201);
    const { rows } = await service.database.pool.query("SELECT id, source, state FROM key_encryption_keys");
    expect(rows).toEqual([{ id: expect.stringMatching(/^kek-/), source: `awskms:///${arn}`, state: "active" }]);
    expect((await ready()).body).toMatchObject({ status: "ready" });
  });

  it("serves on from memory while KMS is down, says degraded, and what needs KMS is told to come back", async () => {
    await put("acme").expect(200);
    clouds.aws.kms.fail("drop");
    await put("acme").expect(200);
    const made = await service.as(service.operatorToken).post("/v1/factories").send({ name: "later" });
    const { detail } = expectProblem(made, "key-unavailable");
    expect(detail).not.toContain("arn:");
    expect(made.headers["retry-after"]).toBe("5");
    const degraded = await ready();
    expect(degraded.status).toBe(200);
    expect(degraded.body).toMatchObject({ status: "degraded" });
    expect(degraded.body.checks).toContainEqual({ name: "keys", ok: true, degraded: true });
    expect(degraded.text).not.toContain("arn:");
    const { body } = await service.as(service.operatorToken).get("/v1/keys").expect(200);
    expect(body.items[0].problem).toMatch(/kms:Decrypt failed/);
    clouds.aws.kms.heal();
    await service.createFactory("later");
    expect((await ready()).body).toMatchObject({ status: "ready" });
  });

  it("has another one of the same name found out at boot", async () => {
    const key = clouds.aws.kmsKeys.find(arn);
    const bytes = key?.bytes;
    clouds.aws.kmsKeys.replaceBytes(arn);
    await expect(open()).rejects.toThrow(/has the id kek-[0-9a-f]{16} that this database needs, but other bytes/);
    if (key && bytes) key.bytes = bytes;
    await expect(open()).resolves.toBeDefined();
  });

  it("says at boot what is wrong with the key, and starts as soon as it answers", async () => {
    clouds.aws.kmsKeys.setState(arn, "disabled");
    await expect(open()).rejects.toThrow(KeyUnavailable);
    const said: string[] = [];
    const opening = openKeysPatiently(service.database.prisma, settings(), undefined, {
      say: (sentence) => {
        said.push(sentence);
        clouds.aws.kmsKeys.setState(arn, "enabled");
      },
      stopping: new AbortController().signal,
    });
    expect((await opening).keys).toHaveLength(1);
    expect(said).toEqual([
      `awskms:///${arn}: kms:Decrypt failed: the key is disabled. Enable it again. Nothing opens without this key. Trying again in 1 s.`,
    ]);
  });

  it("ends its waiting when it is asked to stop", async () => {
    clouds.aws.kmsKeys.setState(arn, "disabled");
    const stopping = new AbortController();
    const waiting = openKeysPatiently(service.database.prisma, settings(), undefined, {
      say: () => stopping.abort(),
      stopping: stopping.signal,
    });
    await expect(waiting).rejects.toThrow(KeyUnavailable);
  });
});
