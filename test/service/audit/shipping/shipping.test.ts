import { verify } from "node:crypto";
import { appendFile, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readPublicKeys } from "../../../../src/audit/log/checkpoint.js";
import { AuditSigningKey } from "../../../../src/audit/log/signing-key.js";
import { AuditWriter } from "../../../../src/audit/record.js";
import { AuditShipper, type Target } from "../../../../src/audit/shipping/shipper.js";
import { createTarget, parseShipTo } from "../../../../src/audit/shipping/targets.js";

import { openKeyRing } from "../../../../src/crypto/open-key-ring.js";
import { parseConnectTo } from "../../../../src/outbound/connect-to.js";
import { createOutbound, outboundDefaults } from "../../../../src/outbound/outbound.js";
import { startTlsServer, type TestServer, testAuthority } from "../../outbound/tls-server.js";
import { notesIn, type SealedService, startSealedService, verifyLines } from "../log/sealed-service.js";

const host = "siem.example.test";
type Received = { body: string; signature: string };

let sealed: SealedService;
let directory: string;
let webhook: TestServer;
let answers: number[] = [];
const received: Received[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "factory-secrets-ship-"));
  webhook = await startTlsServer([host], (request, response) => {
    void textOf(request).then((body) => {
      received.push({ body, signature: String(request.headers["factory-secrets-signature"]) });
      response.writeHead(answers.shift() ?? 204).end();
    });
  });
  sealed = await startSealedService();
  await sealed.service.createFactory();
  await sealed.exported();
});
afterAll(async () => {
  await sealed.service.close();
  await webhook.close();
  await rm(directory, { recursive: true });
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

async function targetOf(text: string): Promise<Target> {
  const { prisma, pool } = sealed.service.database;
  const keys = await openKeyRing(prisma, { kind: "setting", text: sealed.service.key });
  const outbound = createOutbound({
    ...outboundDefaults,
    caCertificates: [(await testAuthority()).caPem],
    connectTo: parseConnectTo(`${host}:443=127.0.0.1:${webhook.port}`).rules,
  });
  const signingKey = new AuditSigningKey({ prisma, keys, audit: new AuditWriter(pool) });
  const [shipTo] = parseShipTo([text]).targets;
  if (shipTo === undefined) throw new Error("no target");
  return createTarget({ prisma, outbound, signingKey, stdout: process.stdout, caCertificates: [] }, shipTo);
}

const shipper = () =>
  new AuditShipper({ prisma: sealed.service.database.prisma, targets: [], onError: () => undefined });

/** Ids of the events in what was sent, in the order in which they came. */
function idsIn(text: string): string[] {
  return text
    .split("\n")
    .flatMap((line) => (line.endsWith("}") && line.includes('"index":') ? [JSON.parse(line).id] : []));
}

/** Ids of all events in the order in which they were sealed. */
async function sealedIds(): Promise<string[]> {
  await sealed.seal();
  const { rows } = await sealed.service.database.pool.query<{ id: string }>(
    "SELECT event_id::text AS id FROM audit_seals ORDER BY number",
  );
  return rows.map(({ id }) => id);
}

describe("shipping to a file", () => {
  const path = () => join(directory, "audit.ndjson");

  it("appends events and checkpoints once, for the owner's eyes", async () => {
    const target = await targetOf(`file:${path()}`);
    const sender = shipper();
    const ids = await sealedIds();
    await sender.ship(target);
    await sender.ship(target);
    const text = await readFile(path(), "utf8");
    expect(idsIn(text)).toEqual(ids);
    expect((await stat(path())).mode & 0o777).toBe(0o600);
  });

  it("goes on where it was, on a line of its own after half a line, and in a new file after a rotation", async () => {
    const target = await targetOf(`file:${path()}`);
    const sender = shipper();
    await appendFile(path(), '{"type":"ev');
    await sealed.service.createFactory();
    const ids = await sealedIds();
    // The lease of the shipper before is not over, as after a SIGKILL.
    expect(await sender.ship(target)).toBe(false);
    await sealed.service.database.pool.query("UPDATE audit_shipments SET leased_until = now()");
    await sender.ship(target);
    expect(idsIn(await readFile(path(), "utf8"))).toEqual(ids);
    await rename(path(), join(directory, "rotated"));
    await sealed.service.createFactory();
    const next = await sealedIds();
    await sender.ship(target);
    expect(idsIn(await readFile(path(), "utf8"))).toEqual(next.slice(ids.length));
  });

  it("leaves checkpoints that convict a rewritten history", async () => {
    const lines = await sealed.exported();
    const kept = notesIn((await readFile(join(directory, "rotated"), "utf8")).split("\n"));
    expect(kept.length).toBeGreaterThan(1);
    const logs = await verifyLines(lines, { kept });
    expect(logs.reduce((sum, log) => sum + log.kept, 0)).toBe(kept.length);
  });
});

describe("shipping to a webhook", () => {
  it("sends again what was not taken, signed with the key of the audit", async () => {
    answers = [503, 404, 204];
    const target = await targetOf(`https://${host}/hook?key=1`);
    const sender = shipper();
    await expect(sender.ship(target)).rejects.toThrow("it answered 503");
    await expect(sender.ship(target)).rejects.toThrow("it answered 404");
    await sender.ship(target);
    await sender.ship(target);
    expect(received).toHaveLength(3);
    expect(received[2]?.body).toBe(received[0]?.body);
    expect(idsIn(received[2]?.body ?? "")).toEqual(await sealedIds());

    const { body } = await sealed.service.as(undefined).get("/v1/audit/checkpoint-keys");
    const keys = readPublicKeys(body.items[0].publicKey);
    const { signature = "", body: sent = "" } = received[2] ?? {};
    const [, seconds = "", keyId = "", ed25519 = ""] = /^t=(\d+),keyId=([0-9a-f]+),ed25519=(.+)$/.exec(signature) ?? [];
    const key = keys.find(({ id }) => id === keyId)?.key;
    if (key === undefined) throw new Error("signed by another key");
    const signed = (text: string) => Buffer.from(`factory-secrets.audit-delivery.v1\n${seconds}\n${text}`);
    expect(verify(null, signed(sent), key, Buffer.from(ed25519, "base64"))).toBe(true);
    expect(verify(null, signed(`${sent} `), key, Buffer.from(ed25519, "base64"))).toBe(false);
  });

  it("is done by one replica at a time", async () => {
    const target = await targetOf(`https://${host}/one`);
    received.length = 0;
    await Promise.all([shipper(), shipper(), shipper()].map((one) => one.ship(target)));
    expect(received).toHaveLength(1);
  });

  it("begins at once with a target that is new, whatever fraction of a millisecond the database's clock shows", async () => {
    const delivered: string[] = [];
    const targets = Array.from({ length: 50 }, (_, index): Target => {
      const id = `new-${index}`;
      return { id, label: id, deliver: async () => void delivered.push(id) };
    });
    for (const target of targets) await shipper().ship(target);
    expect(delivered).toEqual(targets.map(({ id }) => id));
  });

  it("shows how far it is behind", async () => {
    const target = await targetOf(`https://${host}/behind`);
    const sender = new AuditShipper({
      prisma: sealed.service.database.prisma,
      targets: [target],
      onError: () => undefined,
    });
    await sealed.seal();
    const { rows } = await sealed.service.database.pool.query<{ n: number }>(
      "SELECT ((SELECT count(*) FROM audit_seals) + (SELECT count(*) FROM audit_checkpoints))::int AS n",
    );
    expect(await sender.lag()).toEqual([{ target: target.id, events: rows[0]?.n }]);
    await sender.ship(target);
    expect(await sender.lag()).toEqual([{ target: target.id, events: 0 }]);
  });

  it("hides the URL, which may hold a secret, from the database", async () => {
    const { rows } = await sealed.service.database.pool.query<{ target: string }>("SELECT target FROM audit_shipments");
    expect(JSON.stringify(rows)).not.toContain(host);
  });
});

describe("the loop", () => {
  it("tells of a target's trouble once, tries on, and lets the next process go on at once", async () => {
    const { prisma } = sealed.service.database;
    const errors: unknown[] = [];
    let tries = 0;
    const target: Target = {
      id: "moody",
      label: "moody",
      async deliver() {
        tries += 1;
        if (tries < 3) throw new Error("not now");
      },
    };
    const deps = { prisma, targets: [target], onError: (_label: string, error: unknown) => void errors.push(error) };
    const loop = new AuditShipper({ ...deps, random: () => 0 });
    loop.start();
    await expect.poll(() => tries).toBe(3);
    await loop.close();
    expect(errors).toHaveLength(1);
    await sealed.service.createFactory();
    await sealed.seal();
    await shipper().ship(target);
    expect(tries).toBe(4);
  });
});

describe("the setting", () => {
  it("takes what it says and nothing else, and quotes no URL", () => {
    const good = [
      "stdout",
      "file:/var/log/audit.ndjson",
      "https://siem.example.com/x",
      "syslog+tls://logs.example.com",
      "syslog+tcp://[2001:db8::1]:1514",
    ];
    expect(parseShipTo(good)).toMatchObject({ targets: good.map(() => ({})), mistakes: [] });
    const bad = [
      "http://siem.example.com/",
      "file:relative",
      "https://user:pass@siem.example.com/",
      "syslog",
      "syslog+udp://logs.example.com",
      "syslog+tls://logs.example.com/path",
      "stdout",
    ];
    const { mistakes } = parseShipTo(["stdout", ...bad]);
    expect(mistakes).toHaveLength(7);
    expect(mistakes.join()).not.toContain("siem");
  });
});
