import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuditBroken, verifyExport } from "../../../../src/audit/log/verify.js";
import {
  breakOf,
  eventsIn,
  notesIn,
  type SealedService,
  startSealedService,
  storedLines,
  verifyLines,
} from "./sealed-service.js";

let sealed: SealedService;
let factory: { id: string; name: string };
/** The export of the factory's log: five events, with a checkpoint behind the first, the third and the fifth. */
let lines: string[];
beforeAll(async () => {
  sealed = await startSealedService();
  factory = await sealed.service.createFactory();
  await sealed.exported();
  for (let round = 0; round < 2; round += 1) {
    await sealed.service.createApiToken(factory.name, ["audit:read"]);
    await sealed.service.createApiToken(factory.name, ["audit:read"]);
    lines = await sealed.exported(factory.id);
  }
});
afterAll(() => sealed.service.close());

const indexOfEvent = (index: number) => lines.findIndex((line) => line.includes(`"index":${index},`));
const event = (index: number) => lines[indexOfEvent(index)] ?? "";
const altered = (index: number) => event(index).replace('"outcome":"allowed"', '"outcome":"refused"');

describe("an export as it was written", () => {
  it("holds, and says what was checked", async () => {
    expect(await verifyLines(lines)).toMatchObject([{ from: 0, size: 5, checkpoints: 3, kept: 0 }]);
    expect(eventsIn(lines)).toHaveLength(5);
  });

  it("of all logs holds: each event is in exactly one", async () => {
    const all = await sealed.exported();
    const { rows } = await sealed.service.database.pool.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM audit_events",
    );
    expect(eventsIn(all).length).toBe(rows[0]?.n);
    expect(await verifyLines(all)).toHaveLength(2);
  });

  it("holds however its bytes are split into chunks", async () => {
    async function* bytes() {
      const text = Buffer.from(`${lines.join("\n")}\n`);
      for (let at = 0; at < text.length; at += 7) yield text.subarray(at, at + 7);
    }
    await expect(verifyExport(bytes())).resolves.toMatchObject([{ size: 5 }]);
  });

  it("has each older checkpoint as a prefix", async () => {
    const kept = notesIn(lines);
    expect(await verifyLines(lines, { kept })).toMatchObject([{ kept: 3 }]);
    expect(await verifyLines(lines, { kept: [await sealed.checkpoint(sealed.installation)] })).toMatchObject([
      { kept: 0 },
    ]);
  });
});

describe("in an export is found", () => {
  it("the alteration of an event, and between which checkpoints it is", async () => {
    expect(altered(2)).not.toBe(event(2));
    expect(await breakOf(lines.with(indexOfEvent(2), altered(2)))).toBe(
      "alteration: the checkpoint of size 3 has another root, so one of the events from index 1 to 2 is not the one that was sealed",
    );
  });

  it("the removal of an event", async () => {
    expect(await breakOf(lines.toSpliced(indexOfEvent(2), 1))).toBe("removal: the event with index 2 is missing");
    expect(await breakOf(lines.toSpliced(indexOfEvent(4), 1))).toBe("removal: the event with index 4 is missing");
  });

  it("the insertion of an event", async () => {
    expect(await breakOf(lines.toSpliced(indexOfEvent(3), 0, event(2)))).toContain(
      "insertion: there is an event with index 2",
    );
    const renumbered = event(2).replace('"index":2', '"index":3');
    expect(await breakOf(lines.toSpliced(indexOfEvent(3), 0, renumbered))).toContain("insertion: ");
    const all = lines.map((line) => line.replace(/"index":([34]),/, (_, index) => `"index":${Number(index) + 1},`));
    expect(await breakOf(all.toSpliced(indexOfEvent(3), 0, renumbered))).toContain(
      "insertion: a checkpoint of size 5 comes after 6",
    );
  });

  it("the re-ordering of events, renumbered or not", async () => {
    const [third, fourth] = [indexOfEvent(3), indexOfEvent(4)];
    expect(await breakOf(lines.with(third, event(4)).with(fourth, event(3)))).toContain(
      "removal: the event with index 3",
    );
    const renumbered = lines
      .with(third, event(4).replace('"index":4', '"index":3'))
      .with(fourth, event(3).replace('"index":3', '"index":4'));
    expect(await breakOf(renumbered)).toContain("alteration: the checkpoint of size 5");
  });

  it("truncation: of the file, of the last events, and at a checkpoint by one that was kept", async () => {
    expect(await breakOf(lines.slice(0, -1))).toBe("truncation: the export stops before its end");
    expect(await breakOf(lines.slice(0, indexOfEvent(4)))).toBe("truncation: the export stops before its end");
    const end = lines.at(-1) ?? "";
    expect(await breakOf([...lines.slice(0, indexOfEvent(4)), end])).toContain(
      "no checkpoint covers the events from index 3",
    );
    const older = [...lines.slice(0, indexOfEvent(3)), end];
    expect(await breakOf(older)).toBe("it holds");
    expect(await breakOf(older, { kept: notesIn(lines) })).toBe(
      "truncation: a checkpoint that you kept is of size 5, and the log ends at 3",
    );
  });

  it("truncation inside of a line", async () => {
    async function* cut() {
      yield `${lines.slice(0, -1).join("\n")}\n`;
      yield (lines.at(-1) ?? "").slice(0, -1);
    }
    await expect(verifyExport(cut())).rejects.toThrow("the export stops before its end");
  });

  it("a log that is missing behind the first", async () => {
    const all = await sealed.exported();
    const second = all.findLastIndex((line) => line.startsWith('{"type":"log"'));
    expect(await breakOf([...all.slice(0, second), all.at(-1) ?? ""])).toBe("there are 1 logs, but the export had 2");
  });

  it("a history that was rewritten and signed anew, by the key or a kept checkpoint", async () => {
    expect(await breakOf(lines, { keys: [] })).toBe("the checkpoint is not signed by one of the given keys");
    const [first = ""] = notesIn(lines);
    const forged = first.replace(
      /\n(.)([A-Za-z0-9+/]{42}=)\n/,
      (_, begin, rest) => `\n${begin === "A" ? "B" : "A"}${rest}\n`,
    );
    expect(await breakOf(lines, { kept: [forged] })).toBe("a checkpoint that you kept has a wrong signature");
  });

  it("a signature that is written otherwise, though it decodes to the same bytes", async () => {
    const text = `${lines.slice(0, indexOfEvent(1)).join("\n")}\n${lines.at(-1)}\n`;
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // The last character before the padding has two bits that decode to nothing.
    const other = text.replace(
      /([A-Za-z0-9+/])=(?=\\n")/,
      (_, last: string) => `${alphabet[alphabet.indexOf(last) ^ 1]}=`,
    );
    expect(other).not.toBe(text);
    async function* rewritten() {
      yield other;
    }
    await expect(verifyExport(rewritten())).rejects.toThrow(AuditBroken);
  });

  it("every other byte of every line, but in the ids of events, which no leaf holds", async () => {
    const text = `${lines.slice(0, indexOfEvent(1)).join("\n")}\n${lines.at(-1)}\n`;
    const ids = [...text.matchAll(/"id":"[0-9a-f]{32}"/g)].map(({ index }) => index);
    for (let at = 0; at < text.length; at += 1) {
      if (ids.some((id) => at >= id + 6 && at < id + 38)) continue;
      async function* flipped() {
        yield `${text.slice(0, at)}${text[at] === "0" ? "1" : "0"}${text.slice(at + 1)}`;
      }
      await expect(verifyExport(flipped()), text.slice(Math.max(0, at - 40), at + 1)).rejects.toThrow(AuditBroken);
    }
  });
});

describe("in the database is found", () => {
  let log: string;
  let kept: string;
  beforeEach(async () => {
    const { id, name } = await sealed.service.createFactory();
    for (let count = 0; count < 2; count += 1) await sealed.service.createApiToken(name, ["audit:read"]);
    log = id;
    kept = await sealed.checkpoint(id);
  });
  const found = async () => breakOf(await storedLines(sealed.service, log), { kept: [kept] });
  const at = (index: number) => `(SELECT event_id FROM audit_seals WHERE leaf_index = ${index} AND log_id = $1)`;

  it("an event that was altered", async () => {
    const change = "event = convert_to(replace(convert_from(event, 'UTF8'), 'allowed', 'refused'), 'UTF8')";
    await sealed.tamper(`UPDATE audit_events SET ${change} WHERE id = ${at(1)}`, [log]);
    expect(await found()).toContain("alteration: ");
  });

  it("an event that was removed, and one at the end with its seal", async () => {
    await sealed.tamper(`DELETE FROM audit_events WHERE id = ${at(1)}`, [log]);
    expect(await found()).toBe("removal: the event with index 1 is missing");
  });

  it("events that were re-ordered", async () => {
    await sealed.tamper(
      `UPDATE audit_seals AS one SET event_id = -one.event_id WHERE log_id = $1 AND leaf_index IN (1, 2)`,
      [log],
    );
    await sealed.tamper(
      `UPDATE audit_seals AS one SET event_id = -other.event_id FROM audit_seals AS other
       WHERE one.log_id = $1 AND other.log_id = $1 AND one.leaf_index + other.leaf_index = 3
         AND one.leaf_index IN (1, 2)`,
      [log],
    );
    expect(await found()).toContain("alteration: ");
  });

  it("an end that was truncated with all that tells of it, by a checkpoint that was kept", async () => {
    await sealed.service.createApiToken((await factoryOf(log)) ?? "", ["audit:read"]);
    kept = await sealed.checkpoint(log);
    await sealed.tamper(`DELETE FROM audit_events WHERE id = ${at(3)}`, [log]);
    await sealed.tamper("DELETE FROM audit_seals WHERE leaf_index = 3 AND log_id = $1", [log]);
    await sealed.tamper("DELETE FROM audit_checkpoints WHERE size = 4 AND log_id = $1", [log]);
    expect(await breakOf(await storedLines(sealed.service, log))).toBe("it holds");
    expect(await found()).toContain("truncation: a checkpoint that you kept is of size 4");
  });

  it("an event whose bytes are not JSON, which the export holds in base64", async () => {
    await sealed.tamper(`UPDATE audit_events SET event = '\\xff0a' WHERE id = ${at(1)}`, [log]);
    expect((await storedLines(sealed.service, log)).join("")).toContain('"bytes":"/wo="');
    expect(await found()).toContain("alteration: ");
  });

  async function factoryOf(id: string): Promise<string | undefined> {
    const found = await sealed.service.database.prisma.factory.findUnique({ where: { id } });
    return found?.name;
  }
});
