import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openKeys } from "../../../src/service/key-source.js";
import { readSettings } from "../../../src/settings/settings.js";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";
import { addKmsKey, keeper, transitToken } from "../../support/crypto/sources/key-clouds.js";
import { type KeyedService, startKeyedService } from "../../support/keys/keyed-service.js";
import { type Everything, openEverything } from "../../support/keys/open-everything.js";
import { secretValue } from "../../support/leak-watch.js";
import { expectProblem } from "../http/expect-problem.js";

const factories = 6;
const transit = "transit://vault.example.com/transit/factory-secrets";

let clouds: StandInClouds;
let kms: string;
let directory: string;
let keyed: KeyedService;
let before: Everything;
beforeAll(async () => {
  clouds = await startStandInClouds();
  kms = `awskms:///${addKmsKey(clouds)}`;
  clouds.vault.tokens.add(transitToken);
  clouds.vault.rotate("transit/factory-secrets");
  directory = mkdtempSync(join(tmpdir(), "factory-secrets-keys-"));
  const [caFile, tokenFile] = [join(directory, "ca.pem"), join(directory, "token")];
  writeFileSync(caFile, clouds.caPem);
  writeFileSync(tokenFile, transitToken);
  vi.stubEnv("AWS_ACCESS_KEY_ID", keeper.accessKeyId);
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", keeper.secretAccessKey);
  keyed = await startKeyedService({
    FACTORY_SECRETS_KEYS: `${kms},${transit}`,
    FACTORY_SECRETS_TRANSIT_TOKEN_FILE: tokenFile,
    FACTORY_SECRETS_CONNECT_TO: clouds.connectTo,
    FACTORY_SECRETS_CA_FILE: caFile,
  });
  for (let n = 0; n < factories; n += 1) {
    await keyed.service.createFactory(`f${n}`);
    const secret = `/v1/factories/f${n}/secrets/a`;
    await keyed.service.as(keyed.service.operatorToken).put(secret).send({ value: secretValue() }).expect(201);
  }
  before = await stored();
});
afterAll(async () => {
  await keyed.service.close();
  await clouds.close();
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
});

const stored = async () => openEverything(keyed.service.database, await keyed.ring());

async function idOf(source: string): Promise<string> {
  const { body } = await keyed.get("/v1/keys").expect(200);
  return body.items.find((item: { source: string }) => item.source === source)?.id;
}

async function moveTo(source: string): Promise<string> {
  const id = await idOf(source);
  await keyed.post("/v1/keys", { key: source }).expect(201);
  await keyed.post(`/v1/keys/${id}:activate`).expect(200);
  return id;
}

async function expectAllIn(id: string): Promise<void> {
  const now = await stored();
  expect(now.values).toEqual(before.values);
  expect(now.dataKeys).toEqual(before.dataKeys);
  expect([...now.wrapped.keys()]).toEqual([id]);
}

describe("an installation", () => {
  it("moves from a key of its own to AWS KMS", async () => {
    const id = await moveTo(kms);
    const { body: task } = await keyed.post(`/v1/keys/${keyed.first}:rewrap`).expect(202);
    expect(await keyed.ended(task)).toMatchObject({ state: "done" });
    await expectAllIn(id);
    await keyed.post(`/v1/keys/${keyed.first}:retire`).expect(200);
  });

  it("moves from KMS to Transit; what waits for KMS says so, and goes on when it answers", async () => {
    const from = await idOf(kms);
    const id = await moveTo(transit);
    clouds.aws.kms.fail("drop");
    const { body: task } = await keyed.post(`/v1/keys/${from}:rewrap`, { perSecond: 1_000 }).expect(202);
    const read = async () => (await keyed.get(`/v1/key-tasks/${task.id}`)).body;
    await expect.poll(async () => (await read()).problem).toMatch(/kms:Decrypt failed/);
    expect(await read()).toMatchObject({ state: "running", done: 0 });
    clouds.aws.kms.heal();
    // It would be tried again after ten seconds.
    const hurry = "UPDATE key_tasks SET leased_until = now() WHERE holder IS NULL AND state = 'running'";
    const hurrying = setInterval(() => void keyed.service.database.pool.query(hurry).catch(() => undefined), 200);
    const ended = await keyed.ended(task).finally(() => clearInterval(hurrying));
    expect(ended).toMatchObject({ state: "done" });
    await expectAllIn(id);
    await keyed.post(`/v1/keys/${from}:retire`).expect(200);
  });

  it("makes new things by Transit, seals anew by it, and starts with it alone", async () => {
    const { body: task } = await keyed.post("/v1/factories/f0/data-keys:rotate").expect(202);
    expect(await keyed.ended(task)).toMatchObject({ state: "done", done: 1 });
    const alone = readSettings({
      DATABASE_URL: keyed.service.databaseUrl,
      ...keyed.environment,
      FACTORY_SECRETS_KEYS: transit,
    });
    const ring = await openKeys(keyed.service.database.prisma, alone, undefined);
    expect((await openEverything(keyed.service.database, ring)).values).toEqual(before.values);
  });

  it("does not activate a key that opens and may not wrap", async () => {
    const id = await idOf(transit);
    clouds.vault.tokens.clear();
    expect(expectProblem(await keyed.post(`/v1/keys/${id}:activate`), "key-unavailable").detail).toMatch(/token/);
    clouds.vault.tokens.add(transitToken);
    await keyed.post(`/v1/keys/${id}:activate`).expect(200);
  });
});
