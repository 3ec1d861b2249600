import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { AuditWriter } from "../../../src/audit/record.js";
import { run } from "../../../src/cli/factory-secrets.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { Generations } from "../../../src/db/generations.js";
import { apiAccess, rotateSigningKey } from "../../../src/identity/oauth/keys/rotate-signing-key.js";

import { SigningKeys } from "../../../src/identity/oauth/keys/signing-keys.js";
import { sweepOAuth } from "../../../src/identity/oauth/sessions.js";
import { polledAnew } from "../../support/polled-anew.js";
import { startOwnTestService, startTestService, type TestService } from "../../support/test-service.js";
import { login, makeClient, type TestClient } from "./oauth-factory.js";

let service: TestService;
let replica: TestService;
let client: TestClient;

beforeAll(async () => {
  const environment = { FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" };
  service = await startOwnTestService(environment);
  replica = await startTestService(environment, service);
  await service.createFactory("own-factory");
  client = await makeClient(service, "own-factory", { permissions: ["secrets:list"] });
});
afterAll(async () => {
  await replica.close();
  await service.close();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString("utf8")).kid;
const statusOf = async (where: TestService, token: string) => (await where.as(token).get("/v1/whoami")).status;
const tokenOf = async (where: TestService): Promise<string> => (await login(where, client)).body.access_token;
const publishedBy = async (where: TestService): Promise<string[]> =>
  (await where.as(undefined).get("/.well-known/jwks.json")).body.keys.map(({ kid }: { kid: string }) => kid);

async function keysAt(now: () => Date) {
  const { prisma, pool } = service.database;
  const keys = await openKeyRing(prisma, { kind: "setting", text: service.key });
  return { prisma, audit: new AuditWriter(pool), keys, generations: new Generations(), now };
}

async function command(...words: string[]): Promise<string> {
  vi.stubEnv("DATABASE_URL", service.databaseUrl);
  vi.stubEnv("FACTORY_SECRETS_KEY", service.key);
  let printed = "";
  const written = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  expect(await run(words)).toBe(0);
  written.mockRestore();
  return printed.trim();
}

it("makes one key, however many replicas sign for the first time at once", async () => {
  const tokens = await Promise.all([service, replica, service, replica].map(tokenOf));
  expect(new Set(tokens.map(kidOf)).size).toBe(1);
  for (const token of tokens) {
    expect(await statusOf(service, token)).toBe(200);
    expect(await statusOf(replica, token)).toBe(200);
  }
  const { rows } = await service.database.pool.query("SELECT FROM signing_keys");
  expect(rows).toHaveLength(1);
});

it("is rotated by command beside the running servers; what the old key signed is valid until it expires", async () => {
  const old = await tokenOf(service);
  const kid = await command("signing-keys", "rotate");
  expect(kid).toMatch(/^[\w-]{43}$/);
  expect(kid).not.toBe(kidOf(old));
  await polledAnew(service);
  const signed = await tokenOf(service);
  expect(kidOf(signed)).toBe(kid);
  // A replica that has not heard of the new key looks for it.
  expect(await statusOf(replica, signed)).toBe(200);
  for (const where of [service, replica]) {
    expect(await statusOf(where, old)).toBe(200);
    expect(await publishedBy(where)).toEqual([kid, kidOf(old)]);
  }
  const listed = (await command("signing-keys", "list")).split("\n");
  expect(listed).toEqual([
    expect.stringMatching(new RegExp(`^${kid}  api-access  ES256  made .* signs$`)),
    expect.stringContaining("verifies until"),
  ]);
  // The last token of the old key expires before the key does.
  const { rows } = await service.database.pool.query<{ seconds: number }>(
    "SELECT extract(epoch FROM verify_until - now())::int AS seconds FROM signing_keys WHERE verify_until IS NOT NULL",
  );
  expect(rows[0]?.seconds).toBeGreaterThan(900);
});

it("refuses a token once the key that signed it verifies no more, and then forgets the key", async () => {
  const old = await tokenOf(service);
  await command("signing-keys", "rotate");
  await service.database.pool.query("UPDATE signing_keys SET verify_until = now() WHERE id = $1", [kidOf(old)]);
  // As whatever raises the installation's generation: the next rotation does.
  await service.database.pool.query("UPDATE installation SET generation = generation + 1");
  const anew = await startTestService({ FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test" }, service);
  expect(await statusOf(anew, old)).toBe(401);
  expect(await publishedBy(anew)).not.toContain(kidOf(old));
  await anew.close();
  await sweepOAuth(service.database.prisma);
  const { rows } = await service.database.pool.query("SELECT FROM signing_keys WHERE id = $1", [kidOf(old)]);
  expect(rows).toHaveLength(0);
});

it("replaces a key that is 30 days old when it is next to sign, and only one of many does", async () => {
  const month = 30 * 24 * 3_600_000;
  const before = new SigningKeys(await keysAt(() => new Date(Date.now() + month - 60_000)), apiAccess);
  const { id } = await before.forSigning();
  const later = await Promise.all(
    Array.from({ length: 4 }, async () => new SigningKeys(await keysAt(() => new Date(Date.now() + month)), apiAccess)),
  );
  const next = await Promise.all(later.map((keys) => keys.forSigning()));
  expect(new Set(next.map((key) => key.id)).size).toBe(1);
  expect(next[0]?.id).not.toBe(id);
});

it("lets only one of two rotations of the same key through", async () => {
  const deps = await keysAt(() => new Date());
  const { id } = await new SigningKeys(deps, apiAccess).forSigning();
  const input = { use: apiAccess, replacedId: id, now: new Date() };
  const rotations = await Promise.all([rotateSigningKey(deps, input), rotateSigningKey(deps, input)]);
  expect(rotations.filter((rotation) => rotation !== undefined)).toHaveLength(1);
});

it("looks for a key that nobody has at most once a second, however many ask", async () => {
  const deps = await keysAt(() => new Date());
  const keys = new SigningKeys(deps, apiAccess);
  await keys.forSigning();
  const clock = vi.spyOn(performance, "now").mockReturnValue(performance.now());
  const reads = vi.spyOn(deps.prisma, "$queryRawUnsafe");
  const readsAfterFifty = async () => {
    await Promise.all(Array.from({ length: 50 }, (_, index) => keys.find(`nobody's-${index}`)));
    return reads.mock.calls.filter(([sql]) => sql.includes("read-signing-keys")).length;
  };
  expect(await readsAfterFifty()).toBe(1);
  clock.mockReturnValue(performance.now() + 999);
  expect(await readsAfterFifty()).toBe(1);
  clock.mockReturnValue(performance.now() + 1);
  expect(await readsAfterFifty()).toBe(2);
});

it("stores the private half wrapped, and says every rotation in the audit", async () => {
  const { rows } = await service.database.pool.query<{ wrapped: Buffer; public_key: Buffer }>(
    "SELECT wrapped, public_key FROM signing_keys",
  );
  for (const row of rows) expect(row.wrapped.includes(row.public_key.subarray(-65))).toBe(false);
  const { body } = await service.as(service.operatorToken).get("/v1/audit?action=signing-key.replaced").expect(200);
  expect(body.items.length).toBeGreaterThan(1);
  expect(body.items[0].actor.kind).toBe("service");
});
