import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { permissions, roleNames, roles } from "../../../src/core/permissions.js";
import type { Problem } from "../../../src/core/problem.js";
import { grantedPermissions } from "../../../src/identity/credentials/create-credential.js";
import { roundsOf } from "../../support/rounds.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { expectProblem } from "../http/expect-problem.js";

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

describe("what a new credential is given", () => {
  const some = fc.uniqueArray(fc.constantFrom(...permissions));
  const asked = fc.record(
    { permissions: fc.array(fc.constantFrom(...permissions)), roles: fc.array(fc.constantFrom(...roleNames)) },
    { requiredKeys: [] },
  );

  it("is all that was asked for and nothing that its maker lacks, whatever is asked for", () => {
    const property = fc.property(some, asked, (held, wanted) => {
      const expected = new Set([...(wanted.permissions ?? []), ...(wanted.roles ?? []).flatMap((r) => [...roles[r]])]);
      const isWithin = [...expected].every((permission) => held.includes(permission));
      const maker = { permissions: new Set(held) };
      if (expected.size === 0 || !isWithin) {
        const code = expected.size === 0 ? "invalid-request" : "forbidden";
        expect(() => grantedPermissions(maker, wanted)).toThrow(expect.objectContaining<Partial<Problem>>({ code }));
        return;
      }
      const granted = grantedPermissions(maker, wanted);
      expect(new Set(granted.permissions)).toEqual(expected);
      expect(granted.permissions).toHaveLength(expected.size);
      expect(new Set(granted.roles)).toEqual(new Set(wanted.roles ?? []));
    });
    fc.assert(property, { numRuns: 500 });
  });

  it("is nothing when its maker is limited by grants", () => {
    const maker = { permissions: new Set(permissions), grants: [{ registry: "ghcr.io", actions: ["pull" as const] }] };
    expect(() => grantedPermissions(maker, { roles: ["ci"] })).toThrow(expect.objectContaining({ code: "forbidden" }));
  });
});

describe("over HTTP", () => {
  let service: TestService;
  let factory: string;
  let path: string;
  beforeAll(async () => {
    service = await startTestService();
  });
  afterAll(() => service.close());
  beforeEach(async () => {
    factory = (await service.createFactory()).name;
    path = `/v1/factories/${factory}/api-tokens`;
  });
  const make = async (body: object, token = service.operatorToken) =>
    service
      .as(token)
      .post(path)
      .send({ name: "made", ...body });
  const made = async (body: object): Promise<{ id: string; token: string }> => (await make(body)).body;
  const remove = async (id: string, token = service.operatorToken) => service.as(token).delete(`${path}/${id}`);

  it("lists the roles to any caller", async () => {
    const { token } = await service.openJob(factory);
    const { body } = await service.as(token).get("/v1/roles").expect(200);
    expect(body.items).toEqual(roleNames.map((name) => ({ name, permissions: [...roles[name]] })));
  });

  it("shows roles beside what they amount to, in the reply, the list, the audit and whoami", async () => {
    const reply = await make({ roles: ["ci", "auditor", "ci"], permissions: ["jobs:create", "secrets:write"] });
    const held = ["jobs:create", "secrets:write", "registry-tokens:issue", ...roles.auditor];
    expect(reply.status).toBe(201);
    expect(reply.body).toMatchObject({ permissions: held, roles: ["ci", "auditor"] });
    const listed = await service.as(service.operatorToken).get(path);
    expect(listed.body.items).toEqual([expect.objectContaining({ permissions: held, roles: ["ci", "auditor"] })]);
    const me = await service.as(reply.body.token).get("/v1/whoami");
    expect(new Set(me.body.permissions)).toEqual(new Set(held));
    const audit = await service.as(service.operatorToken).get(`/v1/factories/${factory}/audit`);
    expect(audit.body.items[0]).toMatchObject({ action: "api-token.created", roles: ["ci", "auditor"] });
  });

  it("shows no roles where none were asked for", async () => {
    const reply = await make({ permissions: ["secrets:list"] });
    expect(reply.body).not.toHaveProperty("roles");
    expect((await service.as(service.operatorToken).get(path)).body.items[0]).not.toHaveProperty("roles");
  });

  it("gives no role that holds more than its maker", async () => {
    const maker = await made({ roles: ["operator"], permissions: ["access:write"] });
    const { detail } = expectProblem(await make({ roles: ["auditor"] }, maker.token), "forbidden");
    expect(detail).toContain("access:read");
    expect((await make({ roles: ["ci", "developer"] }, maker.token)).status).toBe(201);
  });

  it.each([
    ["neither permissions nor roles", {}],
    ["no role", { roles: [] }],
    ["a role that does not exist", { roles: ["root"] }],
    ["a role by the name of an object's own member", { roles: ["constructor"] }],
  ])("refuses %s", async (_what, body) => {
    expectProblem(await make(body), "invalid-request");
  });

  it("keeps the last admin, whoever asks", async () => {
    const [first, second] = [await made({ roles: ["admin"] }), await made({ roles: ["admin", "ci"] })];
    expect((await remove(first.id)).status).toBe(204);
    const { detail } = expectProblem(await remove(second.id), "last-admin");
    expect(detail).toContain("Make another one first");
    expectProblem(await remove(second.id, second.token), "last-admin");
    expect((await service.as(second.token).get("/v1/whoami")).status).toBe(200);
    const audit = await service
      .as(service.operatorToken)
      .get(`/v1/factories/${factory}/audit?action=api-token.revoked`);
    expect(audit.body.items).toHaveLength(1);
    await made({ roles: ["admin"] });
    expect((await remove(second.id)).status).toBe(204);
  });

  it("does not take an expired admin for one who is there, and lets it be cleared away", async () => {
    const [lasting, expiring] = [await made({ roles: ["admin"] }), await made({ roles: ["admin"] })];
    await service.database.pool.query("UPDATE credentials SET expires_at = $2 WHERE id = $1", [
      expiring.id,
      inSeconds(-1),
    ]);
    expectProblem(await remove(lasting.id), "last-admin");
    expect((await remove(expiring.id)).status).toBe(204);
  });

  it("keeps the last admin, whether that is a token or an OAuth client", async () => {
    const token = await made({ roles: ["admin"] });
    const clients = `/v1/factories/${factory}/oauth-clients`;
    const operator = service.as(service.operatorToken);
    const client = await operator.post(clients).send({ name: "admin", roles: ["admin"] });
    expect((await remove(token.id)).status).toBe(204);
    expectProblem(await operator.delete(`${clients}/${client.body.id}`), "last-admin");
    await made({ roles: ["admin"] });
    expect((await operator.delete(`${clients}/${client.body.id}`)).status).toBe(204);
  });

  it("does not hold on to whoever has every permission without the role", async () => {
    const { id } = await made({ permissions });
    expect((await remove(id)).status).toBe(204);
  });

  it("counts the admins of each factory apart", async () => {
    const { id } = await made({ roles: ["admin"] });
    const other = await service.createFactory();
    await service
      .as(service.operatorToken)
      .post(`/v1/factories/${other.name}/api-tokens`)
      .send({ name: "other", roles: ["admin"] });
    expectProblem(await remove(id), "last-admin");
  });

  it("keeps one of two admins that are withdrawn at the same instant, on two replicas", async () => {
    const replica = await startTestService({}, service);
    try {
      for (let round = 0; round < roundsOf(3, 8); round += 1) {
        const { name } = await service.createFactory();
        const at = `/v1/factories/${name}/api-tokens`;
        const both = await Promise.all(
          [service, service].map(async () => {
            const reply = await service
              .as(service.operatorToken)
              .post(at)
              .send({ name: "admin", roles: ["admin"] });
            const id: string = reply.body.id;
            return id;
          }),
        );
        const replies = await Promise.all(
          both.map((id, index) =>
            (index === 0 ? service : replica).as(service.operatorToken).delete(`${at}/${id}`).send(),
          ),
        );
        expect(replies.map(({ status }) => status).toSorted()).toEqual([204, 409]);
        const left = await service.as(service.operatorToken).get(at);
        expect(left.body.items).toHaveLength(1);
      }
    } finally {
      await replica.close();
    }
  });
});
