import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Permission, permissions } from "../../../src/core/permissions.js";
import { createToken } from "../../../src/identity/token.js";
import { relayOperations } from "../../../src/relay/relay-wire.js";
import { routes } from "../../../src/service/routes.js";
import { askRelay, basic } from "../../support/broker/relayed-factory.js";
import { startOwnTestService, type TestService } from "../../support/test-service.js";
import { login, makeClient, watchIssued } from "../oauth/oauth-factory.js";
import { expectProblem } from "./expect-problem.js";
import { pathOfOperation, pathOfRoute, titleOfRoute } from "./route-path.js";

type WalkedRoute = (typeof routes)[number];
type Callers = {
  /** Credentials that are not valid, and why. */
  invalid: Record<string, string>;
  /** Valid ones of another factory. */
  foreign: Record<string, string>;
  job: string;
  /** All permissions but the one. */
  lacking: Map<Permission, string>;
  /** Access tokens, likewise. */
  lackingInScope: Map<Permission, string>;
  almighty: string;
};

const own = "own-factory";
let service: TestService;
let callers: Callers;

beforeAll(async () => {
  service = await startOwnTestService();
  callers = await makeCallers();
});
afterAll(() => service.close());

async function makeCallers(): Promise<Callers> {
  await service.createFactory(own);
  await service.createFactory("other-factory");
  const almighty = await service.createApiToken(own, permissions);
  const expired = await service.createApiToken(own, permissions);
  await service.database.pool.query("UPDATE credentials SET expires_at = now() - interval '1 second' WHERE id = $1", [
    expired.id,
  ]);
  const revoked = await service.createApiToken(own, permissions);
  await service.as(service.operatorToken).delete(`/v1/factories/${own}/api-tokens/${revoked.id}`).expect(204);
  const lacking = new Map<Permission, string>();
  const lackingInScope = new Map<Permission, string>();
  for (const permission of permissions) {
    const others = permissions.filter((one) => one !== permission);
    lacking.set(permission, (await service.createApiToken(own, others)).token);
    lackingInScope.set(permission, (await accessToken(own, others)).token);
  }
  const withdrawn = await accessToken(own, permissions);
  await service
    .as(service.operatorToken)
    .delete(`/v1/factories/${own}/oauth-clients/${withdrawn.clientId}`)
    .expect(204);
  const ended = await accessToken(own, permissions);
  await service.database.pool.query("UPDATE credentials SET revoked_at = now() WHERE parent_id = $1", [ended.clientId]);
  const overdue = await accessToken(own, permissions);
  const toExpire = "UPDATE credentials SET expires_at = now() - interval '1 second' WHERE parent_id = $1";
  await service.database.pool.query(toExpire, [overdue.clientId]);
  const session = await accessToken(own, permissions);
  return {
    invalid: {
      garbage: "garbage",
      "a mistyped checksum": mistyped(almighty.token),
      "a token that nobody made": createToken("operator"),
      "an expired token": expired.token,
      "a revoked token": revoked.token,
      "an access token of a client that was withdrawn": withdrawn.token,
      "an access token of a session that was ended": ended.token,
      "an access token of a session that has expired": overdue.token,
      "an access token whose signature was changed": session.token.replace(/.{4}$/, "AAAA"),
    },
    foreign: {
      "another factory's token": (await service.createApiToken("other-factory", permissions)).token,
      "another factory's job": (await service.openJob("other-factory")).token,
      "another factory's access token": (await accessToken("other-factory", permissions)).token,
    },
    job: (await service.openJob(own)).token,
    lacking,
    lackingInScope,
    almighty: almighty.token,
  };
}

async function accessToken(factory: string, of: readonly Permission[]): Promise<{ clientId: string; token: string }> {
  const client = await makeClient(service, factory, { permissions: of });
  const { body } = await login(service, client);
  watchIssued(body);
  return { clientId: client.id, token: body.access_token };
}

function mistyped(token: string): string {
  return token.slice(0, -1) + (token.endsWith("A") ? "B" : "A");
}

async function call(route: WalkedRoute, token: string | undefined, factory = own) {
  return service.as(token)[route.method](pathOfRoute(route, factory));
}

/** The body without what differs from request to request. */
function lasting({ requestId: _requestId, ...body }: Record<string, unknown>): unknown {
  return body;
}

it("walks every route that the server has", () => {
  expect(new Set(routes.map(({ id }) => id)).size).toBe(routes.length);
  expect(routes.length).toBeGreaterThan(30);
});

describe.each(routes.map((route) => [titleOfRoute(route), route] as const))("%s", (_title, route) => {
  const { auth } = route;
  if (auth === "anyone") {
    it("answers anyone, and looks at no credential", async () => {
      for (const token of [undefined, ...Object.values(callers.invalid), callers.job]) {
        // Without its form the token endpoint has nothing to answer: test/oauth/ has who is refused there. What a path
        // names is in nobody's reach here: test/federation/ has the factories whose issuers are asked for.
        const expected = route.path.includes("{") ? 404 : 200;
        expect((await call(route, token)).status).toBe(route.body ? 400 : expected);
      }
    });
    return;
  }

  if (auth === "device") {
    it("answers whoever has no device's certificate, with or without a token, in its clients' words", async () => {
      for (const token of [undefined, callers.job, callers.almighty, ...Object.values(callers.invalid)]) {
        const reply = await call(route, token);
        expect([reply.status, reply.body.code]).toEqual([403, expect.stringMatching(/^(unauthenticated|forbidden)$/)]);
      }
    });
    return;
  }

  it("answers a caller without a credential 401, whatever the factory", async () => {
    const bodies = [await call(route, undefined), await call(route, undefined, "no-such-factory")].map((reply) => {
      expect(reply.headers["www-authenticate"]).toBe('Bearer realm="factory-secrets"');
      return lasting(expectProblem(reply, "unauthenticated"));
    });
    expect(bodies[0]).toEqual(bodies[1]);
  });

  it("answers every credential that is not valid one and the same 401, whatever the factory", async () => {
    const bodies = new Set<string>();
    for (const token of Object.values(callers.invalid)) {
      for (const factory of [own, "no-such-factory"]) {
        bodies.add(JSON.stringify(lasting(expectProblem(await call(route, token, factory), "unauthenticated"))));
      }
    }
    expect([...bodies]).toHaveLength(1);
  });

  if (auth === "signature") {
    it("takes no token, however valid", async () => {
      for (const token of [callers.job, callers.almighty, service.operatorToken]) {
        expectProblem(await call(route, token), "unauthenticated");
      }
    });
    return;
  }

  if (auth === "any-caller") {
    it("answers any valid credential", async () => {
      for (const token of [callers.job, callers.almighty, ...Object.values(callers.foreign)]) {
        expect((await call(route, token)).status).toBe(200);
      }
    });
    return;
  }

  if (auth === "operator") {
    it("refuses whoever is no operator, and tells them nothing of factories", async () => {
      for (const token of [callers.almighty, callers.job, ...Object.values(callers.foreign)]) {
        const here = lasting(expectProblem(await call(route, token), "forbidden"));
        expect(lasting(expectProblem(await call(route, token, "no-such-factory"), "forbidden"))).toEqual(here);
      }
    });
    return;
  }

  it("answers another factory's credential the 404 of a factory that does not exist", async () => {
    for (const token of Object.values(callers.foreign)) {
      const here = lasting(expectProblem(await call(route, token), "not-found"));
      expect(lasting(expectProblem(await call(route, token, "no-such-factory"), "not-found"))).toEqual(here);
    }
  });

  it(`refuses a token, and an access token, with every permission but ${auth.permission}`, async () => {
    for (const token of [callers.lacking.get(auth.permission), callers.lackingInScope.get(auth.permission)]) {
      const { detail } = expectProblem(await call(route, token), "forbidden");
      expect(detail).toContain(auth.permission);
    }
  });

  if (auth.permission === "registry-tokens:issue") return;
  it("refuses a job", async () => {
    expectProblem(await call(route, callers.job), "forbidden");
  });
});

describe.each(Object.values(relayOperations).map((operation) => [operation.path, operation] as const))(
  "GET %s, in the words of a registry",
  (_path, { id, path }) => {
    const ask = async (token: string | undefined, factory = own) => {
      const headers = token === undefined ? {} : { authorization: basic("any", token) };
      const { status, text } = await askRelay(service.url, pathOfOperation(path, factory), headers);
      return { status, text, isError: text.startsWith('{"errors":[{"code":"') };
    };

    it("answers a caller without a credential 401, whatever the factory", async () => {
      const here = await ask(undefined);
      expect(here).toMatchObject({ status: 401, isError: true });
      expect(await ask(undefined, "no-such-factory")).toEqual(here);
    });

    it("answers every credential that is not valid one and the same 401, whatever the factory", async () => {
      const answers = new Set<string>();
      for (const token of Object.values(callers.invalid)) {
        for (const factory of [own, "no-such-factory"]) answers.add(JSON.stringify(await ask(token, factory)));
      }
      expect([...answers]).toHaveLength(1);
      expect(JSON.parse([...answers][0] ?? "")).toMatchObject({ status: 401, isError: true });
    });

    if (id === "relayPing" || id === "relayToken") {
      it("answers any valid credential, of whichever factory", async () => {
        for (const token of [callers.job, callers.almighty, ...Object.values(callers.foreign)]) {
          expect((await ask(token)).status).toBe(200);
        }
      });
    } else {
      it("answers another factory's credential the 404 of a factory that does not exist", async () => {
        for (const token of Object.values(callers.foreign)) {
          const here = await ask(token);
          expect(here).toMatchObject({ status: 404, isError: true });
          expect(await ask(token, "no-such-factory")).toEqual(here);
        }
      });
    }

    if (id === "relayPing") return;
    it("refuses every permission but the one that pulls", async () => {
      const needed: Permission = "registry-tokens:issue";
      for (const token of [callers.lacking.get(needed), callers.lackingInScope.get(needed)]) {
        const { status, text } = await ask(token);
        expect([status, text]).toEqual([id === "relayToken" ? 401 : 403, expect.stringContaining(needed)]);
      }
    });
  },
);

it("lets a job do nothing but what jobs are for", () => {
  const open = routes.filter(({ auth }) => typeof auth === "object" && auth.permission === "registry-tokens:issue");
  expect(open.map(({ id }) => id)).toEqual([
    "issueRegistryTokens",
    "makeJobAwsKeys",
    "getAwsCredentials",
    "checkReferences",
  ]);
});
