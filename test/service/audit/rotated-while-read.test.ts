import { afterEach, beforeEach, expect, it } from "vitest";
import { signStatement } from "../../../src/audit/chain/statement.js";
import { insertCheckpoint, sealedEvents } from "../../../src/audit/chain/store.js";
import { checkFactoryStatements } from "../../../src/audit/database-check/factory-statements.js";
import { verifyDatabase } from "../../../src/cli/audit/verify.js";
import { type SealedService, startSealedService } from "./chain/sealed-service.js";

let sealed: SealedService;
let chains: string[];
beforeEach(async () => {
  sealed = await startSealedService();
  chains = [(await sealed.service.createFactory("acme")).id, (await sealed.service.createFactory("beta")).id];
  for (const chain of [...chains, sealed.installation]) await sealed.exported(chain);
});
afterEach(() => sealed.service.close());

const rotate = () => sealed.signingKey.rotate(sealed.installation, new Date());

it("a key that begins to sign while the chains of factories are looked through is known", async () => {
  const { prisma } = sealed.service.database;
  let looked = 0;
  const $queryRawUnsafe = async (...asked: Parameters<typeof prisma.$queryRawUnsafe>) => {
    if (asked[0].includes("statements-of") && ++looked === 2) {
      await rotate();
      for (const name of ["acme", "beta"]) await sealed.service.createApiToken(name, ["audit:read"]);
      for (const chain of chains) await sealed.exported(chain);
    }
    return prisma.$queryRawUnsafe(...asked);
  };
  const reading = Object.create(prisma, { $queryRawUnsafe: { value: $queryRawUnsafe } });
  expect(await checkFactoryStatements(reading, undefined)).toEqual({ factories: 2, unfit: undefined });
  expect(looked).toBe(2);
});

/** As a replica does that has seen the end a moment before another one signed a later one. */
async function signLate(): Promise<void> {
  const { prisma } = sealed.service.database;
  const [event] = await sealedEvents(prisma, sealed.installation, { after: 0, through: 1, limit: 1 });
  if (event === undefined) throw new Error("the chain has begun");
  const chain = sealed.installation;
  const { position } = event;
  const signed = signStatement(await sealed.signingKey.current(chain), {
    type: "factory-secrets.audit-checkpoint.v1",
    at: new Date().toISOString(),
    installation: chain,
    chain,
    position,
    hash: event.hash.toString("hex"),
  });
  await insertCheckpoint(prisma, { chain, position, signed });
}

it("a key that begins to sign while the chain of the installation is followed is known", async () => {
  const { prisma, pool } = sealed.service.database;
  let rotated: Promise<void> | undefined;
  const query = async (...asked: Parameters<typeof pool.query>) => {
    rotated ??= rotate().then(signLate);
    await rotated;
    return pool.query(...asked);
  };
  const reading = { prisma, pool: Object.create(pool, { query: { value: query } }) };
  const out = await verifyDatabase(reading, {});
  expect(out).toContain("Nothing was altered");
  expect(out).toMatch(/\nSigned by: {3}[0-9a-f]{64}, [0-9a-f]{64} /);
});

it("a key that is not among those given is none, though the database has it", async () => {
  const { unfit } = await checkFactoryStatements(sealed.service.database.prisma, new Map());
  expect(unfit).toContain("which is not one of those given");
});
