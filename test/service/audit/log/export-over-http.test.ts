import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readPublicKeys } from "../../../../src/audit/chain/public-keys.js";
import { verifyExport } from "../../../../src/audit/chain/verify-export.js";
import { earlierTransactionsEnded } from "../../../support/earlier-transactions.js";
import { startOwnTestService, type TestService } from "../../../support/test-service.js";

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

async function publishedKeys() {
  const { body } = await service.as(undefined).get("/v1/audit/checkpoint-keys").expect(200);
  return readPublicKeys(body.items.map(({ publicKey }: { publicKey: string }) => publicKey).join(""));
}

describe("an export over HTTP", () => {
  it("of the installation holds, by the published key, up to what was just done", async () => {
    const latest = await service.createFactory();
    const text = await exportOf("/v1/audit/export");
    const verified = await verifyExport(once(text), { keys: await publishedKeys() });
    expect(verified.keyIds).toEqual([...(await publishedKeys()).keys()]);
    expect(text).toContain(latest.name);
  });

  it("of a factory holds, and has nothing of others", async () => {
    const { token } = await service.createApiToken(factory.name, ["audit:read"]);
    const text = await exportOf(`/v1/factories/${factory.name}/audit/export`, token);
    const verified = await verifyExport(once(text), { keys: await publishedKeys() });
    const events = text
      .split("\n")
      .filter((line) => line.startsWith('{"type":"event"'))
      .map((line) => JSON.parse(line).event);
    expect(verified).toMatchObject({ chain: factory.id, from: 1, through: events.length });
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
    const lines = (await exportOf(`${path}/export`)).split("\n").filter((line) => line.startsWith('{"type":"event"'));
    const told = lines.map((line) => JSON.parse(line));
    for (const line of told) expect(Object.keys(line)).toEqual(["type", "position", "hash", "event"]);
    expect(told.map(({ position }) => position)).toEqual(lines.map((_line, index) => index + 1));
    const cef = (await exportOf(`${path}/export.cef`)).split("\n").slice(0, -1);
    expect(cef.map((line) => / externalId=(\d+) /.exec(line)?.[1])).toEqual(
      lines.map((_line, index) => `${index + 1}`),
    );
    const { body } = await service.as(service.operatorToken).get(path).query({ pageSize: 200 });
    const ids = body.items.map(({ id }: { id: string }) => id);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(lines.length);
    for (const { requestId } of body.items) expect(requestId).toMatch(/^[0-9a-f]{32}$/);
  });

  it("as CEF has a line for each event", async () => {
    const cef = (await exportOf("/v1/audit/export.cef")).split("\n").slice(0, -1);
    expect(cef[0]).toMatch(
      /^CEF:0\|factory-secrets\|factory-secrets\|1\|operator-token\.created\|operator-token\.created\|3\|rt=\d{13} externalId=1 outcome=allowed /,
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
