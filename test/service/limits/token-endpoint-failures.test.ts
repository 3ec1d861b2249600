import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../../src/db/database.js";
import { limitedAddress } from "../../../src/limits/limited-address.js";
import { type Asker, TokenEndpointFailures } from "../../../src/limits/token-endpoint-failures.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";

const perMinute = 3;
let service: TestService;
beforeAll(async () => {
  service = await startOwnTestService();
});
afterAll(() => service.close());

let addresses = 0;
const newAddress = () => {
  addresses += 1;
  return `192.0.2.${addresses}`;
};

function replica(pool: Database["pool"] = service.database.pool, limit = perMinute) {
  let limited = 0;
  const failures = new TokenEndpointFailures({
    pool,
    perMinute: limit,
    limitedAddress: limitedAddress(["10.0.0.1"]),
    onLimited: () => {
      limited += 1;
    },
  });
  return { failures, limited: () => limited };
}

async function fail(failures: TokenEndpointFailures, asker: Asker, times = perMinute): Promise<void> {
  for (let index = 0; index < times; index += 1) await failures.failed(asker);
}

const isRefused = { code: "too-many-requests", retryAfterSeconds: expect.any(Number) };

describe("failures at the token endpoint", () => {
  it("are counted by address, and every replica agrees", async () => {
    const [first, second] = [replica(), replica()];
    const asker = { address: newAddress() };
    await fail(first.failures, asker, perMinute - 1);
    await second.failures.refuseTooMany(asker);
    await fail(second.failures, asker, 1);
    for (const { failures } of [first, second]) {
      await expect(failures.refuseTooMany(asker)).rejects.toMatchObject(isRefused);
      // The second time from memory.
      await expect(failures.refuseTooMany(asker)).rejects.toMatchObject(isRefused);
    }
    expect([first.limited(), second.limited()]).toEqual([2, 2]);
    await first.failures.refuseTooMany({ address: newAddress() });
  });

  it("of many at once are all counted", async () => {
    const { failures } = replica();
    const asker = { address: newAddress() };
    await Promise.all(Array.from({ length: perMinute }, () => failures.failed(asker)));
    await expect(failures.refuseTooMany(asker)).rejects.toMatchObject(isRefused);
  });

  it("with the id of a client do not lock its owner out, who has not failed", async () => {
    const { failures } = replica();
    const clientId = randomUUID();
    for (let index = 0; index < perMinute; index += 1) await failures.failed({ address: newAddress(), clientId });
    const owner = { address: newAddress(), clientId };
    await failures.refuseTooMany(owner);
    await failures.failed(owner);
    await expect(failures.refuseTooMany(owner)).rejects.toMatchObject(isRefused);
    await failures.refuseTooMany({ ...owner, clientId: randomUUID() });
  });

  it("begin anew when their minute is over", async () => {
    const { failures } = replica();
    const asker = { address: newAddress() };
    await fail(failures, asker);
    await service.database.pool.query("UPDATE rate_limits SET expire = 0 WHERE key LIKE '%' || $1", [asker.address]);
    await failures.refuseTooMany(asker);
  });

  it.each(["x".repeat(10_000), "a\u0000b", "fsc_what-looks-like-a-secret"])(
    "keep no id that is none",
    async (clientId) => {
      const { failures } = replica();
      const asker = { address: newAddress(), clientId };
      await failures.failed(asker);
      await failures.refuseTooMany(asker);
      const { rows } = await service.database.pool.query<{ key: string }>("SELECT key FROM rate_limits");
      expect(rows.map(({ key }) => key).filter((key) => key.includes(clientId.slice(0, 5)))).toEqual([]);
    },
  );

  it("of a trusted proxy that names nobody, and where there is no limit, are not counted", async () => {
    const { failures } = replica();
    await fail(failures, { address: "10.0.0.1" });
    await failures.refuseTooMany({ address: "10.0.0.1" });
    const unlimited = replica(service.database.pool, 0);
    const asker = { address: newAddress() };
    await fail(unlimited.failures, asker);
    await unlimited.failures.refuseTooMany(asker);
  });

  it("are counted in memory while Postgres is away", async () => {
    const gone = openDatabase({ url: "postgresql://127.0.0.1:1/none", connections: 2, onError: () => undefined });
    const { failures } = replica(gone.pool);
    const asker = { address: newAddress(), clientId: randomUUID() };
    await failures.refuseTooMany(asker);
    await fail(failures, asker);
    await expect(failures.refuseTooMany(asker)).rejects.toMatchObject(isRefused);
    await gone.close();
  });
});
