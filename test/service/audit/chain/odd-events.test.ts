import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyExport } from "../../../../src/audit/chain/verify-export.js";
import { askedAnew } from "../../../support/polled-anew.js";
import { type SealedService, startSealedService } from "./sealed-service.js";

let sealed: SealedService;
beforeAll(async () => {
  sealed = await startSealedService();
  await sealed.exported();
});
afterAll(() => sealed.service.close());

async function* chunksOf(texts: readonly string[]): AsyncGenerator<string> {
  for (const text of texts) yield `${text}\n`;
}

/** Puts events in as whoever knows the password of the service's role can. @returns their ids */
async function insert(columns: Record<string, string>, count = 1): Promise<string[]> {
  const all = {
    id: "nextval('audit_events_id_seq')",
    writer: "gen_random_uuid()",
    sequence: "number",
    factory_id: "NULL",
    event: `convert_to('{"action":"x"}', 'UTF8')`,
    ...columns,
  };
  const { rows } = await sealed.service.database.pool.query<{ id: string }>(
    `INSERT INTO audit_events (at, action, outcome, actor_kind, ${Object.keys(all).join(", ")})
     SELECT now(), 'x', 'allowed', 'service', ${Object.values(all).join(", ")} FROM generate_series(1, $1::int) AS number
     RETURNING id`,
    [count],
  );
  return rows.map(({ id }) => id);
}

const inText = (sql: string) => ({ event: `convert_to(${sql}, 'UTF8')` });

async function sealsOf(ids: readonly string[]): Promise<number> {
  const { rows } = await sealed.service.database.pool.query<{ n: number }>(
    "SELECT count(*)::int AS n FROM audit_seals WHERE event_id = ANY ($1::bigint[])",
    [ids],
  );
  return rows[0]?.n ?? -1;
}

describe("an event that the service cannot have written holds up nobody, and stands in no chain:", () => {
  it.each<[string, Record<string, string>]>([
    ["a negative id", { id: "-5" }],
    ["an id of 19 digits", { id: "1000000000000000000" }],
    ["a negative sequence", { sequence: "-5" }],
    ["a sequence that no double holds", { sequence: "9007199254740993" }],
    ["a writer that is no UUID of RFC 9562", { writer: "'00000000-0000-0000-0000-000000000001'" }],
    ["a factory with the id of the installation", { factory_id: "(SELECT id FROM installation)" }],
    ["a factory whose id is no UUID of RFC 9562", { factory_id: "'00000000-0000-0000-0000-000000000001'" }],
    ["bytes that are not UTF-8", { event: String.raw`'\x7b22ff227d'` }],
    ["bytes that are not JSON", inText("'{'")],
    ["no bytes", inText("''")],
    ["a text", inText(`'"x"'`)],
    ["white space", inText(`'{"action": "x"}'`)],
    ["a line feed", inText(`E'{\\n"action":"x"}'`)],
    ["a member twice", inText(`'{"action":"x","action":"y"}'`)],
    ["no end of depth", inText(`'{"a":' || repeat('[', 100000) || repeat(']', 100000) || '}'`)],
  ])("%s", async (_what, columns) => {
    const odd = await insert(columns);
    const { name } = await sealed.service.createFactory();
    const lines = await sealed.exported();
    expect(lines.join("\n")).toContain(`"name":"${name}"`);
    await expect(verifyExport(chunksOf(lines))).resolves.toBeDefined();
    expect(await sealsOf(odd)).toBe(0);
  });

  it("more of them in one transaction than are looked at at a time", async () => {
    const odd = await insert({ sequence: "-100 - number" }, 450);
    const { name } = await sealed.service.createFactory();
    expect((await sealed.exported()).join("\n")).toContain(`"name":"${name}"`);
    expect(await sealsOf(odd)).toBe(0);
  });

  it("sound events of the same transaction have their places", async () => {
    const sound = await insert({ sequence: "CASE WHEN number = 500 THEN number ELSE -1000 - number END" }, 500);
    await sealed.exported();
    expect(await sealsOf(sound)).toBe(1);
  });
});

it("a lost row of the sealer is told of in the log, once, and counted in the metrics", async () => {
  const other = await startSealedService();
  try {
    const { logLines, as } = other.service;
    await other.tamper("DELETE FROM audit_sealer");
    const told = () => logLines.filter((line) => line.includes("the audit is not being sealed"));
    await expect.poll(told).toHaveLength(1);
    const err = { message: expect.stringContaining("audit_sealer") };
    expect(JSON.parse(told()[0] ?? "")).toMatchObject({ level: "error", err });
    await other.service.createFactory();
    await expect(other.sealer.seal()).rejects.toThrow("audit_sealer");
    // The second round begins when the first has ended.
    for (let rounds = 0; rounds < 2; rounds += 1) await askedAnew(other.service, "has-unsealed");
    expect(told()).toHaveLength(1);
    expect((await as(undefined).get("/metrics")).text).toMatch(/^factory_secrets_audit_sealing_failures_total 1$/m);
    await other.tamper("INSERT INTO audit_sealer (frontier) VALUES ('0')");
    await expect(verifyExport(chunksOf(await other.exported()))).resolves.toBeDefined();
  } finally {
    await other.service.close();
  }
});

it("is told of in the log, once, and counted in the metrics", async () => {
  const other = await startSealedService();
  try {
    const { database, logLines, as } = other.service;
    await database.pool.query(
      `INSERT INTO audit_events (id, at, action, outcome, actor_kind, writer, sequence, event)
       VALUES (-7, now(), 'x', 'allowed', 'service', gen_random_uuid(), 1, '{}')`,
    );
    const told = () => logLines.filter((line) => line.includes('"eventId":"-7"'));
    await expect.poll(told).toHaveLength(1);
    expect(JSON.parse(told()[0] ?? "")).toMatchObject({ level: "error", reason: expect.stringContaining("its id") });
    await other.service.createFactory();
    await other.seal();
    const metrics = await as(undefined).get("/metrics");
    expect(metrics.text).toMatch(/^factory_secrets_audit_odd_events_total 1$/m);
    expect(told()).toHaveLength(1);
  } finally {
    await other.service.close();
  }
});
