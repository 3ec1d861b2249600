import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { beforeFirst, factoryLinkHash, linkHash } from "../../../src/audit/chain/link.js";
import { sealedEvents } from "../../../src/audit/chain/store.js";
import { verifyExport } from "../../../src/audit/chain/verify-export.js";
import { verifyDatabase } from "../../../src/cli/audit/verify.js";
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

/** The ids of the events of a chain, in its order. */
async function eventsOf(chain: string): Promise<string[]> {
  const { rows } = await sealed.service.database.pool.query<{ id: string }>(
    "SELECT event_id AS id FROM audit_seals WHERE chain_id = $1 ORDER BY position",
    [chain],
  );
  return rows.map(({ id }) => id);
}

/** Makes these events a chain anew, as whoever owns the tables and knows the format can, without a key. */
async function rewriteChain(chain: string, ids: readonly string[], form: "v1" | "v2" = "v2"): Promise<void> {
  const { prisma } = sealed.service.database;
  const range = { after: 0, through: Number.MAX_SAFE_INTEGER, limit: 1_000 };
  const events = new Map((await sealedEvents(prisma, sealed.installation, range)).map((one) => [one.eventId, one]));
  await sealed.tamper("DELETE FROM audit_seals WHERE chain_id = $1", [chain]);
  let hash = beforeFirst;
  for (const [index, id] of ids.entries()) {
    const event = events.get(id);
    if (event === undefined) throw new Error("this event is not in the chain of the installation");
    const position = index + 1;
    const link = { ...event, chain, position };
    hash = chain === sealed.installation || form === "v1" ? linkHash(hash, link) : factoryLinkHash(hash, link);
    await sealed.tamper("INSERT INTO audit_seals VALUES ($1, $2, $3, $4)", [chain, position, id, hash]);
  }
  await sealed.tamper("UPDATE audit_chains SET position = $2, hash = $3 WHERE id = $1", [chain, ids.length, hash]);
}

const forgetStatements = (chain: string) => sealed.tamper("DELETE FROM audit_statements WHERE chain_id = $1", [chain]);

it("a database as the service left it holds, and it says what was compared", async () => {
  expect(await verify()).toMatch(/\nFactories: {3}2, each with its events in the same order\n/);
});

it("says how many events are newer than what is signed, whether they have their places or wait for them", async () => {
  const { service, seal } = sealed;
  expect(await verify()).not.toContain("Newer:");
  for (const name of ["acme", "beta"]) await service.createApiToken(name, ["audit:read"]);
  await seal();
  expect(await verify()).toContain("\nNewer:       2 events, sealed or about to be, not signed yet\n");
  const older = await service.database.pool.connect();
  await older.query("BEGIN");
  await older.query("SELECT pg_current_xact_id()");
  await service.createApiToken("acme", ["audit:read"]);
  const told = await verify();
  await older.query("COMMIT");
  older.release();
  expect(told).toContain("\nNewer:       3 events, sealed or about to be, not signed yet\n");
  await sealed.exported();
  expect(await verify()).not.toContain("Newer:");
});

it("a chain that was rewritten as it was holds", async () => {
  await rewriteChain(acme.id, await eventsOf(acme.id));
  expect(await verify()).toContain("Nothing was altered");
});

it("the chain of a factory that a release before has sealed holds, in the database and as an export", async () => {
  await forgetStatements(acme.id);
  await rewriteChain(acme.id, await eventsOf(acme.id), "v1");
  expect(await verify()).toContain("Nothing was altered");
  await sealed.service.createApiToken("acme", ["audit:read"]);
  const lines = await sealed.exported(acme.id);
  const events = lines.filter((line) => line.startsWith('{"type":"event"'));
  expect(events.map((line) => "writer" in JSON.parse(line))).toEqual([...events.slice(1).map(() => true), false]);
  const text = lines.map((line) => `${line}\n`).join("");
  expect((await verifyExport(Readable.from([text]))).through).toBe(events.length);
  expect(await verify()).toContain("Nothing was altered");
}, 60_000);

describe("in the chain of a factory is found, also when its end was signed since,", () => {
  async function expectBroken(sentence: string): Promise<void> {
    expect(await verify()).toContain(sentence);
    await sealed.service.createApiToken("acme", ["audit:read"]);
    await sealed.exported(acme.id);
    await sealed.exported();
    expect(await verify()).toContain(sentence);
  }

  it("an event of another factory, in the place of one that was moved to the end", async () => {
    const [first = "", second = "", third = "", ...others] = await eventsOf(acme.id);
    const [ofBeta = ""] = await eventsOf(beta.id);
    await forgetStatements(acme.id);
    await rewriteChain(acme.id, [first, second, ofBeta, ...others, third]);
    await expectBroken(`BROKEN: the event with the id ${ofBeta} stands in the chain ${acme.id}, which is not its own`);
  });

  it("another order", async () => {
    const [first = "", second = "", third = "", ...others] = await eventsOf(acme.id);
    await forgetStatements(acme.id);
    await rewriteChain(acme.id, [first, third, second, ...others]);
    await expectBroken(`BROKEN: the event with the id ${second} does not follow`);
  });

  it("an event that was left out", async () => {
    const [first = "", second = "", ...others] = await eventsOf(acme.id);
    await forgetStatements(acme.id);
    await rewriteChain(acme.id, [first, ...others]);
    await expectBroken(`BROKEN: the event with the id ${second} stands in no chain`);
  });

  it("another hash", async () => {
    await sealed.tamper("UPDATE audit_seals SET hash = sha256(hash) WHERE chain_id = $1 AND position = 2", [acme.id]);
    await expectBroken("does not follow");
  });

  it("a statement that was filed for another position", async () => {
    await sealed.service.database.pool.query(
      `INSERT INTO audit_statements SELECT chain_id, kind, position - 1, statement, key_id, signature
       FROM audit_statements WHERE chain_id = $1`,
      [acme.id],
    );
    await expectBroken(`in the chain ${acme.id} is a statement about something else`);
  });

  it("an event that was altered when only the chain of its factory was signed", async () => {
    const { id } = await sealed.service.createApiToken("acme", ["secrets:list"]);
    await sealed.exported(acme.id);
    await sealed.tamper(
      `UPDATE audit_events SET event = convert_to(replace(convert_from(event, 'UTF8'), 'secrets:list', 'secrets:fake'), 'UTF8')
       WHERE convert_from(event, 'UTF8') LIKE '%' || $1 || '%'`,
      [id],
    );
    for (const chain of [sealed.installation, acme.id]) await rewriteChain(chain, await eventsOf(chain));
    await expectBroken(`in the chain ${acme.id} does not fit`);
  });
});

describe("behind a cut", () => {
  it("what was pruned while it was read is no break, and it says to look again", async () => {
    const { prisma, pool } = sealed.service.database;
    let pruned: Promise<void> | undefined;
    const query = async (...asked: Parameters<typeof pool.query>) => {
      pruned ??= prune(sealed);
      await pruned;
      return pool.query(...asked);
    };
    const reading = { prisma, pool: Object.create(pool, { query: { value: query } }) };
    await expect(verifyDatabase(reading, {})).rejects.toMatchObject({
      exitCode: 2,
      message: "Events were pruned while they were read, so this says nothing. Run it again.",
    });
    expect(await verify()).toContain("Nothing was altered");
  });

  it("the chains hold, a chain that is cut off as a whole too", async () => {
    await prune(sealed);
    expect(await verify()).toContain("Nothing was altered");
  });

  it("a cut that the service did not sign is found", async () => {
    await prune(sealed);
    await sealed.tamper("UPDATE audit_chains SET position = position + 1 WHERE id = $1", [beta.id]);
    await sealed.service.database.pool.query(
      `INSERT INTO audit_statements SELECT chain_id, kind, position + 1, statement, key_id, signature
       FROM audit_statements WHERE kind = 'cut' AND chain_id = $1`,
      [beta.id],
    );
    expect(await verify()).toContain(`in the chain ${beta.id} is a statement about something else`);
  });

  // What stands in front of a cut, and what is far behind the end, no export shows.
  it.each([1, 9_000_000_000])("an event that was given the place %s is found", async (position) => {
    await prune(sealed);
    await sealed.service.database.pool.query(
      `WITH forged AS (
         INSERT INTO audit_events (at, factory_id, action, outcome, actor_kind, actor_id, writer, sequence, transaction, event)
         SELECT at, factory_id, action, outcome, actor_kind, actor_id, gen_random_uuid(), 1, '0', event
         FROM audit_events WHERE factory_id = $1 LIMIT 1 RETURNING id
       ) INSERT INTO audit_seals SELECT chain::uuid, $2::bigint, id, sha256('') FROM forged, unnest($3::text[]) AS chain`,
      [acme.id, position, [acme.id, sealed.installation]],
    );
    expect(await verify()).toContain("does not follow");
  });
});

it("an end that is noted elsewhere than at the last event is found", async () => {
  await sealed.tamper("UPDATE audit_chains SET position = position + 5 WHERE id = $1", [acme.id]);
  expect(await verify()).toContain(`the end of the chain ${acme.id} is noted otherwise`);
});

it.each(["-9223372036854775808", "-1", "9223372036854775807"])(
  "an event that was put in with the id %s is found",
  async (id) => {
    await sealed.service.database.pool.query(
      `INSERT INTO audit_events (id, at, action, outcome, actor_kind, actor_id, writer, sequence, transaction, event)
     SELECT $1, at, action, outcome, actor_kind, actor_id, gen_random_uuid(), 1, '0', event
     FROM audit_events WHERE factory_id IS NULL LIMIT 1`,
      [id],
    );
    expect(await verify()).toContain(`the event with the id ${id} stands in no chain`);
  },
);

it("a place of an event that is not there is found, in whatever chain it is", async () => {
  const chain = "7d3b4a5e-6f70-4a81-92b3-c4d5e6f70819";
  await sealed.service.database.pool.query("INSERT INTO audit_seals VALUES ($1, 1, 9000000000, sha256(''))", [chain]);
  expect(await verify()).toContain(
    `the event with the id 9000000000 has a place in the chain ${chain}, and is not there`,
  );
});

it.each(["0", "-3"])(
  "an event that was given the place %s in the chain of the installation is found",
  async (place) => {
    const { rows } = await sealed.service.database.pool.query<{ id: string }>(
      `WITH forged AS (
       INSERT INTO audit_events (at, action, outcome, actor_kind, actor_id, writer, sequence, transaction, event)
       SELECT at, action, outcome, actor_kind, actor_id, gen_random_uuid(), 1, '0', event
       FROM audit_events WHERE factory_id IS NULL LIMIT 1 RETURNING id
     ) INSERT INTO audit_seals SELECT $1::uuid, $2::bigint, id, sha256('') FROM forged RETURNING event_id AS id`,
      [sealed.installation, place],
    );
    expect(await verify()).toContain(`the event with the id ${rows[0]?.id} does not follow`);
  },
);

it("an event that the service cannot have written is found before anything looks at it", async () => {
  await sealed.service.database.pool.query(
    `INSERT INTO audit_events (at, action, outcome, actor_kind, writer, sequence, transaction, event)
     SELECT now(), 'x', 'allowed', 'service', gen_random_uuid(), 1, (frontier::text::numeric + 1000)::text::xid8, '\\xff'
     FROM audit_sealer`,
  );
  expect(await verify()).toMatch(/stands in no chain, and is none that the service can have written: .* not UTF-8\.$/);
});

it("a cut that is no statement at all is a break, as any that was not signed", async () => {
  await sealed.service.database.pool.query(
    `INSERT INTO audit_statements SELECT chain_id, 'cut', 1, '\\xff', key_id, signature FROM audit_statements
     WHERE chain_id = $1 LIMIT 1`,
    [acme.id],
  );
  expect(await verify()).toMatch(/^BROKEN: /);
});
