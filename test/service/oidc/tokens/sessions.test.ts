import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuditWriter } from "../../../../src/audit/record.js";
import type { Caller } from "../../../../src/core/caller.js";
import { Generations } from "../../../../src/db/generations.js";
import { findCallerById } from "../../../../src/identity/store.js";
import { KeySets } from "../../../../src/identity/trust-rules/key-sets.js";
import { openSession, sweepWorkloads } from "../../../../src/identity/trust-rules/open-session.js";
import { Workloads } from "../../../../src/identity/trust-rules/workloads.js";
import { parseConnectTo } from "../../../../src/outbound/connect-to.js";
import { createOutbound, type Outbound, outboundDefaults } from "../../../../src/outbound/outbound.js";
import type { TestIssuer } from "../../../support/oidc-issuer.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

const minuteMs = 60_000;
const host = "idp.example.test";

let factory: TrustingFactory;
let issuer: TestIssuer;
let outbound: Outbound;
let clockMs: number;
let keySets: KeySets;
let workloads: Workloads;

beforeAll(async () => {
  factory = await startTrustingFactory([host]);
  issuer = factory.issuers.of(host);
  outbound = createOutbound({
    ...outboundDefaults,
    connectTo: parseConnectTo(factory.issuers.connectTo).rules,
    caCertificates: [factory.issuers.caPem],
  });
});
afterAll(async () => {
  await outbound.close();
  await factory.close();
});
beforeEach(() => {
  clockMs = Date.now();
  issuer.endpoint.heal();
  keySets = new KeySets({ outbound, nowMs: () => clockMs, onFailure: () => undefined });
  const { prisma, pool } = factory.service.database;
  workloads = new Workloads({
    prisma,
    generations: new Generations(),
    keySets,
    now: () => new Date(clockMs),
    audit: new AuditWriter(pool),
    onError: (error) => {
      throw error;
    },
  });
  return () => keySets.close();
});

async function ruleFor(terms: Record<string, unknown> = {}): Promise<{ id: string; claims: Record<string, unknown> }> {
  const project = randomUUID();
  const conditions = [{ claim: "project_id", equals: project }];
  return { id: await factory.trust({ issuer: issuer.url, conditions, ...terms }), claims: { project_id: project } };
}

const hourToken = (claims: Record<string, unknown>): string =>
  issuer.sign({ ...claims, exp: Math.floor(clockMs / 1_000) + 7_200 });
const authenticate = (token: string): Promise<Caller> => workloads.authenticate(token, factory.factory.name);
const refused = { code: "unauthenticated" };

describe("a token that was let in before", () => {
  it("is refused once its key was withdrawn", async () => {
    const { claims } = await ruleFor();
    const token = hourToken(claims);
    await authenticate(token);
    issuer.rotate();
    await authenticate(token);
    const before = issuer.fetches();
    clockMs += 10 * minuteMs;
    keySets.refresh();
    await expect.poll(() => issuer.fetches()).toBe(before + 1);
    await expect(authenticate(token)).rejects.toMatchObject(refused);
    await expect(authenticate(hourToken(claims))).resolves.toMatchObject({ kind: "oidc" });
  });

  it("is let in for an hour while its issuer is out of order, and not for longer", async () => {
    const { claims } = await ruleFor();
    const token = hourToken(claims);
    await authenticate(token);
    issuer.endpoint.fail("server-error");
    clockMs += 59 * minuteMs;
    await authenticate(token);
    await authenticate(hourToken({ ...claims, jti: randomUUID() }));
    clockMs += minuteMs;
    await expect(authenticate(token)).rejects.toMatchObject(refused);
  });

  it("is judged by the rules of now", async () => {
    const { id, claims } = await ruleFor();
    const caller = await authenticate(hourToken(claims));
    expect(workloads.hasOwnToken(caller)).toBe(true);
    await expect(workloads.readAgain(caller)).resolves.toMatchObject({ kind: "oidc", id });
    await factory.distrust(id);
    await expect(workloads.readAgain(caller)).rejects.toMatchObject(refused);
  });

  it("is not let in by a rule that pins another algorithm, has other keys, or has become single-use", async () => {
    const { id, claims } = await ruleFor();
    const caller = await authenticate(hourToken(claims));
    const { pool } = factory.service.database;
    for (const change of [{ algorithms: ["ES256"] }, { jwksUrl: `${issuer.url}/other` }, { singleUse: true }]) {
      const sql = "UPDATE trust_rules SET rule = rule || $2::jsonb WHERE id = $1 RETURNING rule";
      const { rows } = await pool.query<{ rule: object }>("SELECT rule FROM trust_rules WHERE id = $1", [id]);
      await pool.query(sql, [id, JSON.stringify(change)]);
      await expect(workloads.readAgain(caller)).rejects.toMatchObject(refused);
      await pool.query("UPDATE trust_rules SET rule = $2::jsonb WHERE id = $1", [id, JSON.stringify(rows[0]?.rule)]);
    }
    await expect(workloads.readAgain(caller)).resolves.toMatchObject({ id });
  });
});

describe("a session that is opened for an ID token", () => {
  const open = (token: string) => {
    const { prisma, pool } = factory.service.database;
    const sessionRequests = { count: () => undefined };
    const deps = { prisma, audit: new AuditWriter(pool), workloads, sessionRequests };
    return openSession(deps, {
      token,
      factory: factory.factory.name,
      requested: { requestId: "r", address: "127.0.0.1" },
    });
  };
  const resumed = async (id: string) => {
    const stored = await findCallerById(factory.service.database.prisma, id);
    return stored && (await workloads.resume(stored));
  };

  it("has the rule's grants, and the audit says what let it in", async () => {
    const { id, claims } = await ruleFor({ maxTtlSeconds: 3_600 });
    const session = await open(issuer.sign(claims));
    const { id: factoryId, name } = factory.factory;
    expect(session).toMatchObject({
      factory: { id: factoryId, name },
      permissions: new Set(["registry-tokens:issue"]),
    });
    expect(session.expiresAt.getTime() - Date.now()).toBeGreaterThan(14.9 * minuteMs);
    expect(session.expiresAt.getTime() - Date.now()).toBeLessThan(15.1 * minuteMs);
    const caller = (await resumed(session.credentialId))?.caller;
    expect(caller).toMatchObject({
      kind: "oidc",
      id: session.credentialId,
      actorId: id,
      name: "job",
      grants: [{ registry: "ghcr.io", repositories: ["acme/app"] }],
      maxTtlSeconds: 3_600,
      expiresAt: session.expiresAt,
      evidence: { issuer: issuer.url, rules: [{ id }] },
    });
    expect((await factory.events("session.opened")).at(-1)).toMatchObject({
      actor: { kind: "oidc", id },
      credential: { id: session.credentialId, name: "job" },
      evidence: { rules: [{ id }] },
    });
  });

  it("lives no longer than the rule lets anything live", async () => {
    const { claims } = await ruleFor({ maxTtlSeconds: 120 });
    const session = await open(issuer.sign(claims));
    expect(session.expiresAt.getTime() - Date.now()).toBeLessThan(121_000);
  });

  it("ends with the rule, and goes on with what another one gives", async () => {
    const { id, claims } = await ruleFor();
    const conditions = [{ claim: "project_id", equals: claims.project_id }];
    const grants = [{ registry: "ghcr.io", repositories: ["acme/base"] }];
    const other = await factory.trust({ issuer: issuer.url, conditions, grants });
    const { credentialId } = await open(issuer.sign(claims));
    await factory.distrust(id);
    expect((await resumed(credentialId))?.caller.grants).toMatchObject([{ repositories: ["acme/base"] }]);
    await factory.distrust(other);
    expect(await resumed(credentialId)).toBeUndefined();
  });

  it("is opened once for a token of a single-use rule, and is good for its life", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    const token = issuer.sign(claims);
    const outcomes = await Promise.allSettled([open(token), open(token), open(token)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected", "rejected"]);
    const opened = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    expect(await resumed(opened[0]?.credentialId ?? "")).toBeDefined();
  });

  it("is not opened for a token that matches no rule", async () => {
    await expect(open(issuer.sign({ project_id: "nobody's" }))).rejects.toMatchObject(refused);
  });

  it("is worth nothing with evidence that this release cannot read", async () => {
    const { claims } = await ruleFor();
    const { credentialId } = await open(issuer.sign(claims));
    const { pool } = factory.service.database;
    await pool.query(`UPDATE credentials SET evidence = '{"issuer": 1}' WHERE id = $1`, [credentialId]);
    expect(await resumed(credentialId)).toBeUndefined();
  });

  it("is swept away when it has expired, and so are the ids of tokens", async () => {
    const { claims } = await ruleFor({ singleUse: true });
    const { credentialId } = await open(issuer.sign(claims));
    const { prisma } = factory.service.database;
    const count = async () => [
      await prisma.credential.count({ where: { id: credentialId } }),
      await prisma.usedTokenId.count(),
    ];
    await sweepWorkloads({ prisma });
    expect(await count()).toEqual([1, expect.any(Number)]);
    expect((await count())[1]).toBeGreaterThan(0);
    for (const table of ["credentials", "used_token_ids"])
      await factory.service.database.pool.query(`UPDATE ${table} SET expires_at = expires_at - interval '1 hour'`);
    await sweepWorkloads({ prisma });
    expect(await count()).toEqual([0, 0]);
  });
});
