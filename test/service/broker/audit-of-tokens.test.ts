import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type BrokeredFactory, startBrokeredFactory } from "../../support/broker/brokered-factory.js";
import { watched } from "../../support/leak-watch.js";

const password = watched("not-a-real-secret-audit-8d3c");
const demand = { registry: "ghcr.io", repositories: ["acme/app"] };

let broker: BrokeredFactory;
let registry: ReturnType<BrokeredFactory["clouds"]["docker"]["addRegistry"]>["registry"];
let job: { id: string; token: string };
beforeAll(async () => {
  broker = await startBrokeredFactory(({ docker }) => {
    const rights = { "acme/app": ["pull"], "acme/base": ["pull"] } as const;
    const users = { ci: { password, rights } };
    registry = docker.addRegistry({ host: "ghcr.io", users, expiresInSeconds: 3_600 }).registry;
    docker.addRegistry({ host: "quay.example.test", users });
  });
  await broker.putSecret("creds", `ci:${password}`);
  await broker.putConfig(`container_registries:
- {type: generic, url: ghcr.io, generic_secret_name: creds}
- {type: generic, url: quay.example.test, generic_secret_name: creds}
`);
});
afterAll(() => broker.close());
beforeEach(async () => {
  job = await broker.openJob();
  // A new version, so that every test begins with a cold cache.
  await broker.putSecret("creds", `ci:${password}`);
  registry.heal();
  registry.forget();
});

const sql = (text: string) => broker.service.database.pool.query(text);

describe("every token that leaves", () => {
  it("has its audit row by then: who, entry, secret and version, scope, expiry, and whether it was cached", async () => {
    const replies = [await broker.ask(job.token, demand), await broker.ask(job.token, demand)];
    const rows = (await broker.events("registry-token.issued")).slice(-2);
    const { body } = await broker.service
      .as(broker.service.operatorToken)
      .get(`/v1/factories/${broker.factory.name}/secrets/creds`);
    replies.forEach((reply, index) => {
      expect(rows[index]).toEqual({
        action: "registry-token.issued",
        at: expect.any(String),
        outcome: "allowed",
        actor: { kind: "job", id: job.id, name: "test job" },
        factory: { id: broker.factory.id, name: broker.factory.name },
        requestId: reply.headers["x-request-id"],
        address: "127.0.0.1",
        registry: "ghcr.io",
        entry: "ghcr.io",
        secret: "creds",
        secretVersion: body.version,
        repositories: ["acme/app"],
        scopeEnforcedBy: "registry",
        scopeVerified: true,
        kind: "bearer",
        expiresAt: reply.body.tokens[0].expiresAt,
        cached: index === 1,
      });
    });
  });

  it("has a row of its own, also among a hundred at once", async () => {
    const replies = await Promise.all(Array.from({ length: 100 }, () => broker.ask(job.token, demand)));
    const rows = await broker.events("registry-token.issued");
    const recorded = rows.map(({ requestId }) => requestId);
    for (const reply of replies) {
      expect(reply.status).toBe(200);
      expect(recorded.filter((id) => id === reply.headers["x-request-id"])).toHaveLength(1);
    }
  });

  it("does not leave when its row cannot be written, cached or not", async () => {
    await sql(`CREATE FUNCTION break_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
      CREATE TRIGGER break_audit BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION break_audit()`);
    try {
      for (let i = 0; i < 2; i += 1) {
        const reply = await broker.ask(job.token, demand);
        expect(reply.status).toBe(500);
        expect(reply.body).not.toHaveProperty("tokens");
        expect(reply.text).not.toContain("broken");
      }
    } finally {
      await sql("DROP TRIGGER break_audit ON audit_events; DROP FUNCTION break_audit()");
    }
    expect((await broker.ask(job.token, demand)).status).toBe(200);
  });
});

describe("a secret that was opened", () => {
  it("for a token that could not be minted leaves registry-token.failed", async () => {
    registry.fail("server-error");
    const reply = await broker.ask(job.token, demand);
    const [row] = (await broker.events("registry-token.failed")).slice(-1);
    expect(row).toMatchObject({
      code: "upstream-unreachable",
      secret: "creds",
      outcome: "failed",
      requestId: reply.body.requestId,
    });
  });

  it("for tokens that cannot be minted leaves few rows, however many one request asks for", async () => {
    const before = (await broker.events("registry-token.failed")).length;
    const requests = Array.from({ length: 50 }, (_, at) => ({ registry: "ghcr.io", repositories: [`acme/app-${at}`] }));
    for (let round = 0; round < 3; round += 1) expect((await broker.ask(job.token, { requests })).status).not.toBe(200);
    const rows = (await broker.events("registry-token.failed")).slice(before);
    expect(rows.length).toBe(1);
    for (const row of rows) expect(row).toMatchObject({ registry: "ghcr.io", secret: "creds", outcome: "failed" });
  });

  it("for a token that then goes to nobody leaves a row too: another registry of the request failed", async () => {
    const requests = [demand, { registry: "quay.example.test" }];
    const reply = await broker.ask(job.token, { requests });
    expect(reply.body.failures).toMatchObject([{ registry: "quay.example.test", code: "repositories-required" }]);
    const [row] = (await broker.events("registry-token.refreshed")).slice(-1);
    expect(row).toMatchObject({ registry: "ghcr.io", secret: "creds", requestId: reply.body.requestId });
  });

  it("for a token that lives too short for the caller leaves a row too", async () => {
    const reply = await broker.ask(job.token, { ...demand, minTtlSeconds: 7_200 });
    expect(reply.body).toMatchObject({ code: "ttl-not-available" });
    const [row] = (await broker.events("registry-token.refreshed")).slice(-1);
    expect(row).toMatchObject({ registry: "ghcr.io", requestId: reply.body.requestId });
  });

  it("and cannot be: a flipped bit is one problem, an audit row and a metric", async () => {
    await sql(`UPDATE secret_versions v SET ciphertext = set_byte(ciphertext, 30, get_byte(ciphertext, 30) # 1)
      FROM secrets s WHERE s.id = v.secret_id AND s.factory_id = '${broker.factory.id}' AND s.name = 'creds' AND v.version = s.current_version`);
    const reply = await broker.ask(job.token, demand);
    expect(reply.body).toMatchObject({ status: 500, code: "secret-unreadable" });
    expect((await broker.events("secret.open-failed")).at(-1)).toMatchObject({ secret: "creds", outcome: "failed" });
    expect((await broker.service.as(undefined).get("/metrics")).text).toContain(
      "factory_secrets_secret_open_failures_total 1",
    );
  });
});

describe("what happens between deciding and recording is noticed", () => {
  it("a job that is ended while its token is minted gets 401, and no row says it got one", async () => {
    const hold = registry.hold();
    const asked = broker.ask(job.token, demand);
    const answered = asked.then((reply) => reply);
    await registry.received(1);
    const path = `/v1/factories/${broker.factory.name}/jobs/${job.id}`;
    expect((await broker.service.as(broker.service.operatorToken).delete(path)).status).toBe(204);
    hold.release();
    const reply = await answered;
    expect(reply.body).toMatchObject({ status: 401 });
    const rows = await broker.events("registry-token.issued");
    expect(rows.filter(({ requestId }) => requestId === reply.body.requestId)).toEqual([]);
    const kept = await broker.events("registry-token.refreshed");
    expect(kept.at(-1)).toMatchObject({ requestId: reply.body.requestId });
  });

  it("a secret that changes while its token is minted is read again, and the new version answers", async () => {
    const hold = registry.hold();
    const asked = broker.ask(job.token, demand).then((reply) => reply);
    await registry.received(1);
    await broker.putSecret("creds", `ci:${password}`);
    hold.release();
    const reply = await asked;
    const [row] = (await broker.events("registry-token.issued")).slice(-1);
    const [written] = (await broker.events("secret.written")).slice(-1);
    expect(row).toMatchObject({ requestId: reply.headers["x-request-id"], secretVersion: written?.secretVersion });
  });

  it("a generation raised by anybody is enough to decide anew, and one row is written for one token", async () => {
    const hold = registry.hold();
    const asked = broker.ask(job.token, demand).then((reply) => reply);
    await registry.received(1);
    await sql(`UPDATE factories SET generation = generation + 1 WHERE id = '${broker.factory.id}'`);
    hold.release();
    const reply = await asked;
    expect(reply.status).toBe(200);
    expect(registry.calls("GET /token")).toBe(1);
    const rows = (await broker.events("registry-token.issued")).filter(
      ({ requestId }) => requestId === reply.headers["x-request-id"],
    );
    expect(rows).toMatchObject([{ cached: true }]);
  });
});
