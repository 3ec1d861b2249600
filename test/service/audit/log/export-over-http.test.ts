import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint, readPublicKeys } from "../../../../src/audit/log/checkpoint.js";
import { leafHash, rootFromProof } from "../../../../src/audit/log/tree.js";
import { verifyExport } from "../../../../src/audit/log/verify.js";
import { earlierTransactionsEnded } from "../../../support/earlier-transactions.js";
import { startOwnTestService, type TestService } from "../../../support/test-service.js";
import { expectProblem } from "../../http/expect-problem.js";

let service: TestService;
let factory: { id: string; name: string };
beforeAll(async () => {
  service = await startOwnTestService();
  factory = await service.createFactory();
  await service.createFactory();
  await service.as(service.operatorToken).put(`/v1/factories/${factory.name}/secrets/a|b=`).send({ value: "x" });
});
afterAll(() => service.close());

async function* once(text: string): AsyncGenerator<string> {
  yield text;
}

async function exportOf(path: string, token = service.operatorToken): Promise<string> {
  await earlierTransactionsEnded(service.database);
  const reply = await service
    .as(token)
    .get(path)
    .buffer(true)
    .parse((res, done) => {
      let text = "";
      res.setEncoding("utf8");
      res.on("data", (chunk) => {
        text += chunk;
      });
      res.on("end", () => done(null, text));
    })
    .expect(200);
  return reply.body;
}

const eventsIn = (text: string) =>
  text
    .split("\n")
    .filter((line) => line.startsWith('{"type":"event"'))
    .map((line) => JSON.parse(line));

async function publishedKeys() {
  const { body } = await service.as(undefined).get("/v1/audit/checkpoint-keys").expect(200);
  return readPublicKeys(body.items.map(({ publicKey }: { publicKey: string }) => publicKey).join(""));
}

describe("an export over HTTP", () => {
  it("of the installation has the logs of all, up to what was just done, and holds by the published key", async () => {
    const latest = await service.createFactory();
    const text = await exportOf("/v1/audit/export");
    const verified = await verifyExport(once(text), { keys: await publishedKeys() });
    expect(verified).toHaveLength(4);
    expect(text).toContain(latest.name);
  });

  it("of a factory holds, and has nothing of others", async () => {
    const { token } = await service.createApiToken(factory.name, ["audit:read"]);
    const text = await exportOf(`/v1/factories/${factory.name}/audit/export`, token);
    const verified = await verifyExport(once(text), { keys: await publishedKeys() });
    const events = eventsIn(text).map(({ event }) => event);
    const origin = expect.stringMatching(new RegExp(`/${factory.id}$`));
    expect(verified).toMatchObject([{ origin, from: 0, size: events.length }]);
    expect(new Set(events.map((event) => event.factory.id))).toEqual(new Set([factory.id]));
    const { body } = await service.as(token).get(`/v1/factories/${factory.name}/audit?pageSize=200`);
    expect(events.length).toBe(body.items.length);
  });

  it("of a factory has no number that counts what others do", async () => {
    const busy = await service.createFactory();
    for (let round = 0; round < 3; round += 1) {
      await service.createApiToken(busy.name, ["audit:read"]);
      await service.createApiToken(factory.name, ["audit:read"]);
    }
    const path = `/v1/factories/${factory.name}/audit`;
    const told = eventsIn(await exportOf(`${path}/export`));
    for (const line of told) expect(Object.keys(line)).toEqual(["type", "log", "index", "id", "event"]);
    expect(told.map(({ index }) => index)).toEqual(told.map((_line, index) => index));
    const { body } = await service.as(service.operatorToken).get(path).query({ pageSize: 200 });
    const ids = body.items.map(({ id }: { id: string }) => id);
    expect(told.map(({ id }) => id)).toEqual(ids.toReversed());
    const cef = (await exportOf(`${path}/export.cef`)).split("\n").slice(0, -1);
    expect(cef.map((line) => / externalId=(\S+) /.exec(line)?.[1])).toEqual(ids.toReversed());
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(told.length);
    for (const { requestId } of body.items) expect(requestId).toMatch(/^[0-9a-f]{32}$/);
  });

  it("as CEF has a line for each event", async () => {
    const cef = (await exportOf("/v1/audit/export.cef")).split("\n").slice(0, -1);
    expect(cef[0]).toMatch(
      /^CEF:0\|factory-secrets\|factory-secrets\|1\|operator-token\.created\|operator-token\.created\|3\|rt=\d{13} externalId=\d+ outcome=allowed /,
    );
    for (const line of cef) expect(line).toMatch(/^CEF:0\|([^|]*\|){6}\S/);
  });

  it("ends when its reader goes away, and the service goes on", async () => {
    await new Promise<void>((resolve, reject) => {
      const call = request(`${service.url}/v1/audit/export`, { headers: { "OSF-TOKEN": service.operatorToken } });
      call.on("response", (reply) => {
        reply.destroy();
        resolve();
      });
      call.on("error", reject);
      call.end();
    });
    await service.as(undefined).get("/healthz").expect(200);
  });
});

describe("over HTTP", () => {
  const head = async (path: string, token = service.operatorToken) => {
    await earlierTransactionsEnded(service.database);
    const { text, headers } = await service.as(token).get(path).expect(200);
    expect(headers["content-type"]).toBe("text/plain; charset=utf-8");
    const opened = openCheckpoint(text, await publishedKeys());
    if (opened.problem !== undefined) throw new Error(opened.problem);
    return { ...opened.head, text };
  };

  it("the checkpoint of a log is signed up to what was just done", async () => {
    const path = `/v1/factories/${factory.name}/audit/checkpoint`;
    const { size } = await head(path);
    const { token } = await service.createApiToken(factory.name, ["audit:read"]);
    expect((await head(path, token)).size).toBe(size + 1);
    const { origin } = await head("/v1/audit/checkpoint");
    const { rows } = await service.database.pool.query("SELECT id FROM installation");
    expect(origin).toBe(`factory-secrets/${rows[0].id}`);
  });

  /** Reads a proof as C2SP tlog-proof defines it, and computes the root from it. */
  async function proven(path: string, event: string) {
    await earlierTransactionsEnded(service.database);
    const { text } = await service.as(service.operatorToken).get(path).query({ event }).expect(200);
    const [lines = "", ...note] = text.split("\n\n");
    const [form, extra = "", index = "", ...hashes] = lines.split("\n");
    expect(form).toBe("c2sp.org/tlog-proof@v1");
    const leaf = Buffer.from(extra.replace("extra ", ""), "base64");
    const opened = openCheckpoint(note.join("\n\n"), await publishedKeys());
    if (opened.problem !== undefined) throw new Error(opened.problem);
    const proof = hashes.map((hash) => Buffer.from(hash, "base64"));
    const root = rootFromProof(Number(index.replace("index ", "")), opened.head.size, leafHash(leaf), proof);
    expect(root).toEqual(opened.head.root);
    return { ...opened.head, event: JSON.parse(leaf.toString("utf8")) };
  }

  it("any event of a list has a proof: of a factory by its own id, of the installation by the row's", async () => {
    const path = `/v1/factories/${factory.name}/audit`;
    const { body } = await service.as(service.operatorToken).get(path);
    const [first, last] = [body.items[0], body.items.at(-1)];
    for (const { id, requestId } of [first, last]) {
      const { event, origin } = await proven(`${path}/proof`, id);
      expect([event.requestId, origin.endsWith(factory.id)]).toEqual([requestId, true]);
    }
    const { body: all } = await service.as(service.operatorToken).get("/v1/audit");
    const { id, requestId } = all.items.find(({ requestId }: { requestId: string }) => requestId === last.requestId);
    expect((await proven("/v1/audit/proof", id)).event.requestId).toBe(requestId);
  });

  it("an event of another factory, or none, has no proof", async () => {
    const other = await service.createFactory();
    const { body } = await service.as(service.operatorToken).get(`/v1/factories/${other.name}/audit`);
    const { body: all } = await service.as(service.operatorToken).get("/v1/audit");
    for (const event of [body.items[0].id, all.items[0].id, "x' OR true --"]) {
      const asked = service.as(service.operatorToken).get(`/v1/factories/${factory.name}/audit/proof`).query({ event });
      expectProblem(await asked, "not-found");
    }
    for (const event of ["0", "abc", "99999999999999999999"])
      expectProblem(await service.as(service.operatorToken).get("/v1/audit/proof").query({ event }), "not-found");
  });
});
