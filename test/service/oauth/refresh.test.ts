import { hash } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { polledAnew } from "../../support/polled-anew.js";
import { startOwnTestService, startTestService, type TestService } from "../../support/test-service.js";
import { login, makeClient, refresh, type TestClient } from "./oauth-factory.js";

const own = "own-factory";
const path = `/v1/factories/${own}/secrets`;
let service: TestService;
let replica: TestService;
let client: TestClient;

const environment = {
  FACTORY_SECRETS_PUBLIC_URL: "https://secrets.example.test",
  FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "0",
};

beforeAll(async () => {
  service = await startOwnTestService(environment);
  replica = await startTestService(environment, service);
  await service.createFactory(own);
  client = await makeClient(service, own, { permissions: ["secrets:list"] });
});
afterAll(async () => {
  await replica.close();
  await service.close();
});

async function usedSecondsAgo(refreshToken: string, seconds: number): Promise<void> {
  const { rowCount } = await service.database.pool.query(
    "UPDATE refresh_tokens SET used_at = now() - make_interval(secs => $2) WHERE token_hash = $1 AND used_at IS NOT NULL",
    [hash("sha256", refreshToken, "buffer"), seconds],
  );
  expect(rowCount).toBe(1);
}

it("gives a new pair for each refresh, and the old access token goes on until it expires", async () => {
  const first = (await login(service, client)).body;
  const second = await refresh(service, client, first.refresh_token);
  expect(second.status).toBe(200);
  expect(second.body).toMatchObject({ expires_in: 840, scope: "secrets:list", orgs: [{ name: own }] });
  expect(second.body.refresh_token).not.toBe(first.refresh_token);
  for (const { access_token: token } of [first, second.body]) await replica.as(token).get(path).expect(200);
});

it("serves two fioctl runs that send the same token at the same instant, on two replicas", async () => {
  const { refresh_token: shared } = (await login(service, client)).body;
  const replies = await Promise.all([
    refresh(service, client, shared),
    refresh(replica, client, shared),
    refresh(service, client, shared),
  ]);
  expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(new Set(replies.map(({ body }) => body.refresh_token)).size).toBe(3);
  // Whichever of them stays in fioctl.yaml is the one that is used next.
  await usedSecondsAgo(shared, 50);
  const last = await refresh(replica, client, replies[0]?.body.refresh_token);
  expect(last.status).toBe(200);
});

it("serves two runs that have different tokens of one session, however they come in each other's way", async () => {
  const { refresh_token: shared } = (await login(service, client)).body;
  const tokens = [await refresh(service, client, shared), await refresh(service, client, shared)].map(({ body }) =>
    String(body.refresh_token),
  );
  const { pool } = service.database;
  const other = await pool.connect();
  await other.query("BEGIN");
  await other.query(
    `SELECT id FROM credentials WHERE id = (SELECT credential_id FROM refresh_tokens WHERE token_hash = $1) FOR UPDATE`,
    [hash("sha256", shared, "buffer")],
  );
  const waiting = tokens.map((token, index) => refresh(index === 0 ? service : replica, client, token));
  const areWaiting = async () =>
    (await pool.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"))
      .rowCount;
  await expect.poll(areWaiting).toBe(2);
  await other.query("COMMIT");
  other.release();
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
});

it("ends the session on every replica when a token is used again after a minute, and says what to do", async () => {
  const first = (await login(service, client)).body;
  const second = (await refresh(service, client, first.refresh_token)).body;
  await usedSecondsAgo(first.refresh_token, 61);
  const reply = await refresh(service, client, first.refresh_token);
  expect([reply.status, reply.body.error]).toEqual([400, "invalid_grant"]);
  expect(reply.body.message).toContain("delete access_token and refresh_token from fioctl.yaml");
  for (const { access_token: token } of [first, second]) await service.as(token).get(path).expect(401);
  await polledAnew(replica);
  await replica.as(second.access_token).get(path).expect(401);
  expect((await refresh(replica, client, second.refresh_token)).body.error).toBe("invalid_grant");
  const { body } = await service.as(service.operatorToken).get(`/v1/factories/${own}/audit?action=session.revoked`);
  expect(body.items).toHaveLength(1);
  expect(body.items[0]).toMatchObject({ outcome: "refused", actor: { kind: "oauth-client", id: client.id } });
});

it("counts what was given out twice and left unused as old, once its sibling is used", async () => {
  const { refresh_token: shared } = (await login(service, client)).body;
  const kept = (await refresh(service, client, shared)).body.refresh_token;
  const stolen = (await refresh(service, client, shared)).body.refresh_token;
  expect((await refresh(service, client, kept)).status).toBe(200);
  await usedSecondsAgo(stolen, 61);
  expect((await refresh(service, client, stolen)).body.error).toBe("invalid_grant");
  expect((await refresh(service, client, kept)).body.error).toBe("invalid_grant");
});

it("refuses an expired token, a mistyped one, and a scope", async () => {
  const { refresh_token: token } = (await login(service, client)).body;
  const mistyped = await refresh(service, client, `${token.slice(0, -1)}!`);
  expect([mistyped.status, mistyped.body.error]).toEqual([400, "invalid_grant"]);
  await service.database.pool.query("UPDATE refresh_tokens SET expires_at = now() WHERE token_hash = $1", [
    hash("sha256", token, "buffer"),
  ]);
  expect((await refresh(service, client, token)).body.error).toBe("invalid_grant");
});

it("stores no refresh token, and lets each live for 90 days from its making", async () => {
  const { refresh_token: token } = (await login(service, client)).body;
  const next = (await refresh(service, client, token)).body.refresh_token;
  const { rows } = await service.database.pool.query<{ days: number; session_days: number; kind: string }>(
    `SELECT extract(epoch FROM r.expires_at - r.created_at) / 86400 AS days, s.kind,
            extract(epoch FROM s.expires_at - r.created_at) / 86400 AS session_days
     FROM refresh_tokens r JOIN credentials s ON s.id = r.credential_id WHERE r.token_hash = $1`,
    [hash("sha256", next, "buffer")],
  );
  expect(rows.map(({ days, session_days, kind }) => [Number(days), Number(session_days), kind])).toEqual([
    [90, 90, "oauth-session"],
  ]);
});

it("never outlives its client", async () => {
  const expiresAt = new Date(Date.now() + 300_000).toISOString();
  const brief = await makeClient(service, own, { permissions: ["secrets:list"], expiresAt });
  const { body } = await login(service, brief);
  expect(body.expires_in).toBeGreaterThan(200);
  expect(body.expires_in).toBeLessThanOrEqual(240);
});

it("leaves the refresh token as it was when no access token can be signed", async () => {
  const { refresh_token: token } = (await login(service, client)).body;
  // A replica that has not opened the signing key yet, and cannot: its key-encryption key does not answer.
  const started = await startTestService(environment, service);
  const { pool } = service.database;
  await pool.query("UPDATE signing_keys SET wrapped = wrapped || '\\x00'::bytea");
  expect((await refresh(started, client, token)).status).toBe(500);
  await pool.query("UPDATE signing_keys SET wrapped = substr(wrapped, 1, length(wrapped) - 1)");
  await started.close();
  const { rows } = await pool.query("SELECT used_at FROM refresh_tokens WHERE token_hash = $1", [
    hash("sha256", token, "buffer"),
  ]);
  expect(rows).toEqual([{ used_at: null }]);
  expect((await refresh(service, client, token)).status).toBe(200);
});
