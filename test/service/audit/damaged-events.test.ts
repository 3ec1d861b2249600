import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuditShipper } from "../../../src/audit/shipping/shipper.js";
import { syslogFrame } from "../../../src/audit/shipping/syslog.js";
import { runHere } from "../../support/cli/run-here.js";
import { type SealedService, startSealedService } from "./chain/sealed-service.js";

let sealed: SealedService;
let directory: string;
/** The event of the second factory, sealed at this position and altered since. */
let damagedId: string;
let position: string;
async function open(): Promise<void> {
  directory = await mkdtemp(join(tmpdir(), "factory-secrets-damaged-"));
  sealed = await startSealedService();
  await sealed.service.createFactory("one");
  await sealed.service.createFactory("two");
  await sealed.service.createFactory("three");
  await sealed.exported();
  const { rows } = await sealed.service.database.pool.query<{ id: string; position: string }>(
    `SELECT e.id, seal.position FROM audit_events AS e JOIN audit_seals AS seal ON seal.event_id = e.id
     WHERE chain_id = $1 AND convert_from(event, 'UTF8') LIKE '%"name":"two"%'`,
    [sealed.installation],
  );
  damagedId = rows[0]?.id ?? "";
  position = rows[0]?.position ?? "";
}
async function close(): Promise<void> {
  await sealed.service.close();
  await rm(directory, { recursive: true });
}

const damage = (hexadecimal: string) =>
  sealed.tamper("UPDATE audit_events SET event = decode($1, 'hex') WHERE id = $2", [hexadecimal, damagedId]);

const audit = (...argv: string[]) =>
  runHere({ DATABASE_URL: sealed.service.databaseUrl, FACTORY_SECRETS_KEY: sealed.service.key }, "audit", ...argv);

const hex = (text: string) => Buffer.from(text, "utf8").toString("hex");

const damages = [
  ["not UTF-8", "7b22ff227d", "its bytes are not UTF-8"],
  ["not JSON", hex('{"action":\n'), "its bytes are not JSON"],
  ["empty", "", "its bytes are not JSON"],
  ["no object", hex("7"), "its bytes are JSON, but no object"],
  ["JSON with a line feed", hex('{"action":\n"x"}'), "its bytes are JSON, but not in the form of the service"],
] as const;

const sentenceOf = (why: string) =>
  `the event with the id ${damagedId}, at position ${position} of the chain ${sealed.installation}, is damaged: ${why}`;

// These read alone: one installation for each damage.
describe.each(damages)("an event whose bytes are %s", (_what, bytes, why) => {
  beforeAll(async () => {
    await open();
    await damage(bytes);
  });
  afterAll(close);

  it("is a break, in the database and in an export, which holds it as it is", async () => {
    const verified = await audit("verify");
    expect(verified).toMatchObject({ code: 1, err: expect.stringContaining(`${sentenceOf(why)}.`) });
    const file = join(directory, "export.ndjson");
    expect(await audit("export", "--out", file)).toMatchObject({
      code: 0,
      err: expect.stringContaining(sentenceOf(why)),
    });
    const text = await readFile(file, "utf8");
    expect(text).toContain('"name":"three"');
    expect(text).toContain(`"bytes":"${Buffer.from(bytes, "hex").toString("base64")}"`);
    const offline = await audit("verify", "--file", file);
    expect(offline).toMatchObject({ code: 1, err: expect.stringMatching(/^BROKEN at line \d+: /) });
    expect(offline.err).toContain(sentenceOf(why));
    expect(await audit("export", "--format", "cef", "--out", join(directory, "export.cef"))).toMatchObject({ code: 0 });
    expect(await readFile(join(directory, "export.cef"), "utf8")).toContain(
      `|damaged|damaged|5|externalId=${damagedId} `,
    );
  });

  it("hides no other from those who list the audit, and is shown by its columns", async () => {
    const { body } = await sealed.service.as(sealed.service.operatorToken).get("/v1/audit").expect(200);
    expect(body.items.length).toBeGreaterThan(3);
    const damaged = body.items.filter((item: object) => "damaged" in item);
    expect(damaged).toMatchObject([{ id: damagedId, action: "factory.created", outcome: "allowed", damaged: true }]);
  });

  it("holds up nothing that is shipped", async () => {
    let shipped = "";
    const deliver = async (text: string) => {
      shipped += text;
    };
    const target = { id: "t", label: "t", deliver };
    const { prisma } = sealed.service.database;
    await new AuditShipper({ prisma, targets: [target], onError: () => undefined }).ship(target);
    const lines = shipped.split("\n").slice(0, -1);
    expect(lines.map((line) => syslogFrame(line, new Date()))).toHaveLength(lines.length);
    expect(shipped).toContain('"name":"three"');
  });
});

describe("an event", () => {
  beforeEach(open);
  afterEach(close);

  it.each(damages)("whose bytes are %s stops a prune in front of it", async (_what, bytes, why) => {
    await damage(bytes);
    const before = new Date().toISOString();
    const { code, err } = await audit("prune", "--before", before);
    expect({ code, err }).toMatchObject({
      code: 1,
      err: expect.stringContaining(`up to position ${Number(position) - 1}.`),
    });
    expect(err).toContain(`Nothing was removed from there on: ${sentenceOf(why)}`);
    expect((await audit("prune", "--before", before)).err).toMatch(/^Nothing was removed from there on: /);
  });

  it("that says less than one of the service is listed by its columns, and shipped to syslog", async () => {
    await damage(hex('{"action":"x"}'));
    const { body } = await sealed.service.as(sealed.service.operatorToken).get("/v1/audit").expect(200);
    expect(body.items.filter((item: object) => "damaged" in item)).toHaveLength(1);
    expect(syslogFrame('{"type":"event","event":{"action":"x"}}', new Date()).toString()).toContain("<108>1 - - ");
  });

  it("with any id and time can be listed, a page at a time", async () => {
    await sealed.service.database.pool.query(
      `INSERT INTO audit_events (id, at, action, outcome, actor_kind, writer, sequence, event)
       SELECT id, CASE WHEN id = -5 THEN 'infinity' ELSE now() END, 'x', 'odd', 'service', gen_random_uuid(), 1, '\\xff'
       FROM unnest(ARRAY[-9223372036854775808, -5, 9223372036854775807]) AS id`,
    );
    const ids: string[] = [];
    let pageToken: string | undefined;
    do {
      const { body } = await sealed.service
        .as(sealed.service.operatorToken)
        .get("/v1/audit")
        .query({ pageSize: 1, ...(pageToken !== undefined && { pageToken }) })
        .expect(200);
      ids.push(...body.items.map(({ id }: { id: string }) => id));
      pageToken = body.nextPageToken;
    } while (pageToken !== undefined);
    expect(ids[0]).toBe("9223372036854775807");
    expect(ids.slice(-2)).toEqual(["-5", "-9223372036854775808"]);
  });
});
