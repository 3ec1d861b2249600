import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runHere } from "../../support/cli/run-here.js";
import { prune, type SealedService } from "./chain/sealed-service.js";
import { startTwoFactories, type TwoFactories } from "./two-factories.js";

let sealed: SealedService;
let acme: TwoFactories["acme"];
let beta: TwoFactories["beta"];
let verify: TwoFactories["verify"];
beforeEach(async () => {
  ({ sealed, acme, beta, verify } = await startTwoFactories());
});
afterEach(() => sealed.service.close());

describe("a chain whose noted end was removed", () => {
  const forget = (chain: string) => sealed.tamper("DELETE FROM audit_chains WHERE id = $1", [chain]);

  it("is found, be it a factory's or the installation's", async () => {
    await forget(acme.id);
    expect(await verify()).toContain(`BROKEN: the end of the chain ${acme.id} is not noted`);
    await sealed.tamper("DELETE FROM audit_chains");
    expect(await verify()).toMatch(/^BROKEN: the end of the chain [0-9a-f-]{36} is not noted/);
  });

  it("goes on behind its last place, and holds again", async () => {
    for (const chain of [acme.id, sealed.installation]) await forget(chain);
    await sealed.service.createApiToken("acme", ["audit:read"]);
    await sealed.exported(acme.id);
    await sealed.exported();
    expect(await verify()).toMatch(/\nFactories: {3}2,/);
    expect(await verify()).toContain("Nothing was altered");
  });

  it("goes on behind its last cut when it has no place", async () => {
    await prune(sealed);
    await forget(beta.id);
    expect(await verify()).toContain(`the end of the chain ${beta.id} is not noted`);
    await sealed.service.createApiToken("beta", ["audit:read"]);
    await sealed.exported();
    expect(await verify()).toContain("Nothing was altered");
  });

  it("hides no statement about it that is none", async () => {
    await sealed.service.database.pool.query(
      `INSERT INTO audit_statements SELECT chain_id, kind, position - 1, statement, key_id, signature
       FROM audit_statements WHERE chain_id = $1`,
      [acme.id],
    );
    await forget(acme.id);
    await sealed.service.createApiToken("acme", ["audit:read"]);
    await sealed.exported();
    expect(await verify()).toContain(`in the chain ${acme.id} is a statement about something else`);
  });
});

it("a statement about a chain that has neither a place nor an end is found", async () => {
  const chain = "7d3b4a5e-6f70-4a81-92b3-c4d5e6f70819";
  await sealed.service.database.pool.query(
    `INSERT INTO audit_statements SELECT $1::uuid, kind, position, statement, key_id, signature
     FROM audit_statements WHERE chain_id = $2 LIMIT 1`,
    [chain, acme.id],
  );
  expect(await verify()).toContain(`the end of the chain ${chain} is not noted`);
});

it("a row of the sealer that is gone is found, and so is an odd event, which needs no such row", async () => {
  await sealed.tamper("DELETE FROM audit_sealer");
  await sealed.service.database.pool.query(
    `INSERT INTO audit_events (id, at, action, outcome, actor_kind, actor_id, writer, sequence, transaction, event)
     SELECT 9000000000, at, action, outcome, actor_kind, actor_id, gen_random_uuid(), 1, '0', event
     FROM audit_events WHERE factory_id IS NULL LIMIT 1`,
  );
  expect(await verify()).toMatch(/^BROKEN: the row that says how far the sealer was is missing \(audit_sealer\)/);
  await sealed.service.database.pool.query(
    `INSERT INTO audit_events (id, at, action, outcome, actor_kind, writer, sequence, event)
     VALUES (-7, now(), 'x', 'allowed', 'service', gen_random_uuid(), 1, '{}')`,
  );
  expect(await verify()).toMatch(/^BROKEN: the event with the id -7 stands in no chain, and is none/);
});

it("an export without the row of the sealer says so", async () => {
  await sealed.tamper("DELETE FROM audit_sealer");
  const { databaseUrl: DATABASE_URL, key: FACTORY_SECRETS_KEY } = sealed.service;
  const { code, out, err } = await runHere({ DATABASE_URL, FACTORY_SECRETS_KEY }, "audit", "export");
  expect({ code, out }).toEqual({ code: 1, out: "" });
  expect(err).toMatch(/^[^\n]*is missing \(audit_sealer\), so nothing is sealed: run audit verify\n$/);
});
