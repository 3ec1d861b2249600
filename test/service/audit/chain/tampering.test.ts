import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { VerifyOptions } from "../../../../src/audit/chain/chain-verifier.js";
import { AuditBroken } from "../../../../src/audit/chain/verified.js";
import { verifyExport } from "../../../../src/audit/chain/verify-export.js";
import { type SealedService, signedOf, startSealedService, storedLines } from "./sealed-service.js";

let sealed: SealedService;
/** A whole export: key, end, events, three checkpoints among them. */
let lines: string[];
/** The export before that: two events. */
let shortLines: string[];

beforeAll(async () => {
  sealed = await startSealedService();
  await sealed.service.createFactory();
  shortLines = await sealed.exported();
  for (let round = 0; round < 2; round += 1) {
    await sealed.service.createFactory();
    await sealed.service.createFactory();
    lines = await sealed.exported();
  }
});
afterAll(() => sealed.service.close());

async function* chunksOf(texts: readonly string[]): AsyncGenerator<string> {
  for (const text of texts) yield `${text}\n`;
}

const verify = (texts: readonly string[], options?: VerifyOptions) => verifyExport(chunksOf(texts), options);

async function breakOf(texts: readonly string[], options?: VerifyOptions): Promise<string> {
  return verify(texts, options).then(
    () => "it holds",
    (error: unknown) => {
      if (error instanceof AuditBroken) return error.reason;
      throw error;
    },
  );
}

const indexOfEvent = (position: number) => lines.findIndex((line) => line.includes(`"position":${position},"id"`));

describe("an export as it was written", () => {
  it("holds, and says what was checked", async () => {
    const { pool } = sealed.service.database;
    const { rows } = await pool.query("SELECT count(*)::int AS n FROM audit_seals WHERE chain_id = $1", [
      sealed.installation,
    ]);
    expect(await verify(lines)).toMatchObject({
      chain: sealed.installation,
      installation: sealed.installation,
      from: 1,
      through: rows[0]?.n,
      checkpoints: 3,
      cut: undefined,
    });
  });

  it("holds however its bytes are cut into chunks", async () => {
    async function* bytes() {
      const text = `${lines.join("\n")}\n`;
      for (let at = 0; at < text.length; at += 7) yield text.slice(at, at + 7);
    }
    await expect(verifyExport(bytes())).resolves.toMatchObject({ from: 1 });
  });
});

describe("in an export is found", () => {
  it("an event that was altered", async () => {
    const at = indexOfEvent(3);
    const altered = lines.with(at, (lines[at] ?? "").replace('"outcome":"allowed"', '"outcome":"refused"'));
    expect(altered).not.toEqual(lines);
    expect(await breakOf(altered)).toBe("the event at position 3 is not the one that was sealed there");
  });

  it.each(["id", "writer", "sequence", "hash"])("another %s of an event", async (member) => {
    const at = indexOfEvent(3);
    const pattern = new RegExp(`("${member}":"?[0-9a-f-]*)([0-9a-f])(?="?,)`);
    const altered = (lines[at] ?? "").replace(
      pattern,
      (_, start: string, last: string) => `${start}${last === "1" ? "2" : "1"}`,
    );
    expect(altered).not.toBe(lines[at]);
    expect(await breakOf(lines.with(at, altered))).toContain("position 3 is not the one that was sealed there");
  });

  it("an event that was removed", async () => {
    expect(await breakOf(lines.toSpliced(indexOfEvent(3), 1))).toBe("the event at position 3 is missing");
  });

  it("an event that was inserted", async () => {
    const second = lines[indexOfEvent(2)] ?? "";
    expect(await breakOf(lines.toSpliced(indexOfEvent(3), 0, second))).toBe("position 2 stands where 3 belongs");
    const again = second.replace('"position":2', '"position":3');
    expect(await breakOf(lines.toSpliced(indexOfEvent(3), 0, again))).toContain("is not the one that was sealed there");
  });

  it("events in another order", async () => {
    const [second, third] = [indexOfEvent(2), indexOfEvent(3)];
    const turned = lines.with(second, lines[third] ?? "").with(third, lines[second] ?? "");
    expect(await breakOf(turned)).toBe("the event at position 2 is missing");
  });

  it("an end that was cut off, at a checkpoint too", async () => {
    const checkpoints = lines.flatMap((line, at) => (line.startsWith('{"type":"checkpoint"') ? [at] : []));
    expect(await breakOf(lines.slice(0, (checkpoints[0] ?? 0) + 1))).toContain("events are missing at the end");
    expect(await breakOf(lines.slice(0, 1))).toBe("the export ended before its signed end was told");
  });

  it("an end inside of a line", async () => {
    async function* cut() {
      yield `${lines.slice(0, -1).join("\n")}\n`;
      yield (lines.at(-1) ?? "").slice(0, -1);
    }
    await expect(verifyExport(cut())).rejects.toThrow("cut off inside of a line");
  });

  it("another, older end, by a checkpoint that was kept elsewhere", async () => {
    const checkpoints = lines.flatMap((line, at) => (line.startsWith('{"type":"checkpoint"') ? [at] : []));
    const [first = 0, second = 0] = checkpoints;
    const older = lines
      .slice(0, first + 1)
      .with(1, (lines[first] ?? "").replace('"type":"checkpoint"', '"type":"end"'));
    expect(await breakOf(older)).toBe("it holds");
    expect(await breakOf(older, { held: [signedOf(lines[second])] })).toContain("a statement that you hold is about");
  });

  it("a line that says the same in other bytes", async () => {
    const at = indexOfEvent(2);
    const spaced = lines.with(at, (lines[at] ?? "").replace('"event":{', '"event": {'));
    expect(await breakOf(spaced)).toBe("this is no line of an export");
    const doubled = lines.with(at, (lines[at] ?? "").replace('"event":{', '"event":{"action":"nothing",'));
    expect(await breakOf(doubled)).toBe("this is no line of an export");
    const writer = /"writer":"[^"]+"/;
    const upper = (lines[at] ?? "").replace(writer, (text) => text.toUpperCase().replace("WRITER", "writer"));
    expect(await breakOf(lines.with(at, upper))).toBe("this is no line of an export");
  });

  it("a statement with another signature, or of another key than was asked for", async () => {
    const end = JSON.parse(lines[1] ?? "");
    const signature = Buffer.from(end.signature, "base64");
    signature[0] = (signature[0] ?? 0) ^ 1;
    const forged = lines.with(1, JSON.stringify({ ...end, signature: signature.toString("base64") }));
    expect(await breakOf(forged)).toBe("the signed end has a wrong signature");
    expect(await breakOf(lines, { keys: new Map() })).toContain("which is not one of those given");
  });

  it("every other byte of every line", async () => {
    const text = `${shortLines.join("\n")}\n`;
    for (let at = 0; at < text.length; at += 1) {
      async function* flipped() {
        yield `${text.slice(0, at)}${text[at] === "0" ? "1" : "0"}${text.slice(at + 1)}`;
      }
      await expect(verifyExport(flipped()), text.slice(Math.max(0, at - 40), at + 1)).rejects.toThrow(AuditBroken);
    }
  });
});

describe("in the database is found", () => {
  let again: SealedService;
  beforeEach(async () => {
    again = await startSealedService();
    await again.service.createFactory();
    await again.service.createFactory();
    await again.exported();
    return () => again.service.close();
  });
  const found = async () => breakOf(await storedLines(again.service, again.installation));
  const at = (position: number) =>
    `(SELECT event_id FROM audit_seals WHERE position = ${position} AND chain_id = (SELECT id FROM installation))`;

  it("an event that was altered, with its seal or without", async () => {
    await again.tamper(
      `UPDATE audit_events SET event = convert_to(replace(convert_from(event, 'UTF8'), 'allowed', 'refused'), 'UTF8') WHERE id = ${at(2)}`,
    );
    expect(await found()).toBe("the event at position 2 is not the one that was sealed there");
    await again.tamper("UPDATE audit_seals SET hash = sha256(hash) WHERE position = 2");
    expect(await found()).toContain("position 2 is not the one that was sealed there");
  });

  it("an event that was removed", async () => {
    await again.tamper(`DELETE FROM audit_events WHERE id = ${at(2)}`);
    expect(await found()).toBe("the event at position 2 is missing");
  });

  it("events that changed places", async () => {
    await again.tamper(
      "UPDATE audit_seals SET event_id = CASE position WHEN 1 THEN -2 ELSE -1 END WHERE position IN (1, 2) AND chain_id = (SELECT id FROM installation)",
    );
    await again.tamper(
      `UPDATE audit_seals SET event_id = (SELECT id FROM audit_events ORDER BY id LIMIT 1 OFFSET CASE event_id WHEN -1 THEN 0 ELSE 1 END) WHERE event_id < 0`,
    );
    expect(await found()).toBe("the event at position 1 is not the one that was sealed there");
  });

  it("an end that was removed, with its seals and the end of the chain", async () => {
    await again.tamper(`DELETE FROM audit_events WHERE id = ${at(3)}`);
    await again.tamper("DELETE FROM audit_seals WHERE position = 3");
    await again.tamper("UPDATE audit_chains SET position = 2");
    expect(await found()).toBe("the event at position 3 is missing");
  });
});
