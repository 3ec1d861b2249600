import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { AuditWriter } from "../../../src/audit/record.js";
import { listSigningKeys, replaceSigningKey } from "../../../src/cli/server/credentials.js";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { Generations } from "../../../src/db/generations.js";
import { announceKey, federation, promoteKey } from "../../../src/identity/oauth/keys/rotate-signing-key.js";

import { SigningKeys, type SigningKeysDeps } from "../../../src/identity/oauth/keys/signing-keys.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

let service: TestService;
let nowMs: number;
let deps: SigningKeysDeps;
beforeAll(async () => {
  service = await startOwnTestService();
  const { prisma, pool } = service.database;
  const keys = await openKeyRing(prisma, { kind: "setting", text: service.key });
  const now = () => new Date(nowMs);
  deps = { prisma, audit: new AuditWriter(pool), keys, generations: new Generations(), now };
});
afterAll(() => service.close());
beforeEach(async () => {
  nowMs = Date.now();
  await service.database.pool.query("DELETE FROM signing_keys");
  await service.database.pool.query("UPDATE installation SET generation = generation + 1");
});
afterEach(() => vi.restoreAllMocks());

const replica = () => new SigningKeys({ ...deps, generations: new Generations() }, federation);
const idsOf = async (keys: SigningKeys) => (await keys.published()).map(({ id }) => id);

describe("keys that clouds cache", () => {
  it("sign only what was published two days before, over nine weeks on two replicas", async () => {
    const replicas = [replica(), replica()];
    await replicas[0]?.forSigning();
    const published: { atMs: number; ids: string[] }[] = [];
    const signers = new Set<string>();
    const startMs = nowMs;
    for (let hour = 0; hour < 63 * 24; hour += 24) {
      nowMs = startMs + hour * hourMs;
      const keys = replicas[(hour / 24) % 2] ?? replica();
      // As the sweep does; a fresh one each time would hide what a replica remembers.
      await keys.rotateIfDue();
      const anew = replica();
      const { id } = await anew.forSigning();
      signers.add(id);
      published.push({ atMs: nowMs, ids: await idsOf(anew) });
      const cached = published.findLast(({ atMs }) => atMs <= nowMs - 2 * dayMs) ?? published[0];
      expect(cached?.ids, `day ${hour / 24}`).toContain(id);
    }
    expect(signers.size).toBe(3);
  });

  it("wait two days even when nobody looked for months", async () => {
    const { id } = await replica().forSigning();
    nowMs += 90 * dayMs;
    expect((await replica().forSigning()).id).toBe(id);
    expect(await idsOf(replica())).toHaveLength(2);
    nowMs += 2 * dayMs - 1_000;
    expect((await replica().forSigning()).id).toBe(id);
    nowMs += 1_000;
    expect((await replica().forSigning()).id).not.toBe(id);
  });

  it("stay published for an hour after another signs", async () => {
    const { id } = await replica().forSigning();
    nowMs += 28 * dayMs;
    await replica().rotateIfDue();
    nowMs += 2 * dayMs;
    await replica().rotateIfDue();
    nowMs += hourMs - 1_000;
    expect(await idsOf(replica())).toContain(id);
    nowMs += 2_000;
    expect(await idsOf(replica())).not.toContain(id);
  });

  it("are announced and promoted once, however many replicas find that it is time", async () => {
    await replica().forSigning();
    nowMs += 28 * dayMs;
    await Promise.all([1, 2].map(() => replica().forSigning()));
    expect(await idsOf(replica())).toHaveLength(2);
    nowMs += 2 * dayMs;
    const signing = await Promise.all([1, 2, 3, 4].map(() => replica().forSigning()));
    expect(new Set(signing.map(({ id }) => id)).size).toBe(1);
    const { rows } = await service.database.pool.query("SELECT FROM signing_keys");
    expect(rows).toHaveLength(2);
  });

  it("are promoted neither twice nor before their time", async () => {
    const { id: replacedId } = await replica().forSigning();
    const rotation = { use: federation, now: new Date(nowMs) };
    const waiting = await announceKey(deps, rotation);
    expect(await announceKey(deps, rotation)).toBeUndefined();
    const promotion = { ...rotation, waitingId: waiting?.keyId ?? "", replacedId };
    expect(await promoteKey(deps, promotion)).toBeUndefined();
    const later = { ...promotion, now: new Date(nowMs + 2 * dayMs) };
    const both = await Promise.all([promoteKey(deps, later), promoteKey(deps, later)]);
    expect(both.filter((one) => one !== undefined)).toHaveLength(1);
  });
});

describe("signing-keys rotate --purpose federation", () => {
  const rotate = (isCompromised: boolean) => replaceSigningKey(deps, { purpose: "federation", isCompromised });

  it("announces a key once, and says from when it signs", async () => {
    const { id } = await replica().forSigning();
    const { keyId, signsFrom } = await rotate(false);
    expect((signsFrom?.getTime() ?? 0) - Date.now()).toBeGreaterThan(2 * dayMs - 60_000);
    expect((await replica().forSigning()).id).toBe(id);
    expect(await idsOf(replica())).toEqual(expect.arrayContaining([id, keyId]));
    await expect(rotate(false)).rejects.toThrow("is published already");
    const lines = await listSigningKeys(deps.prisma);
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`^${keyId}  federation  RS256  made .* signs from `)),
      expect.stringMatching(new RegExp(`^${id}  federation  RS256  made .* signs$`)),
    ]);
  });

  it("takes a compromised key, and one that waits beside it, out of the set at once", async () => {
    const { id } = await replica().forSigning();
    const { keyId: waiting } = await rotate(false);
    const { keyId, signsFrom } = await rotate(true);
    expect(signsFrom).toBeUndefined();
    nowMs = Date.now() + 1;
    expect(await idsOf(replica())).toEqual([keyId]);
    expect((await replica().forSigning()).id).toBe(keyId);
    expect([id, waiting]).not.toContain(keyId);
  });

  it("makes the first key when there is none", async () => {
    expect((await rotate(false)).signsFrom).toBeUndefined();
    expect(await idsOf(replica())).toHaveLength(1);
  });

  it("leaves events, with the purpose", async () => {
    await replica().forSigning();
    await rotate(false);
    await rotate(true);
    const { body } = await service.as(service.operatorToken).get("/v1/audit?pageSize=3");
    expect(body.items.map(({ action, purpose, alg }: Record<string, string>) => [action, purpose, alg])).toEqual([
      ["signing-key.replaced", "federation", "RS256"],
      ["signing-key.announced", "federation", "RS256"],
      ["signing-key.created", "federation", "RS256"],
    ]);
  });
});
