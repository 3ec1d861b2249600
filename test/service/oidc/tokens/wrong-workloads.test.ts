import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { relayOperations } from "../../../../src/relay/relay-wire.js";
import { routes } from "../../../../src/service/routes.js";
import { askRelay, basic } from "../../../support/broker/relayed-factory.js";
import { newSigningKey, nowSeconds } from "../../../support/oidc-issuer.js";
import { expectProblem } from "../../http/expect-problem.js";
import { pathOfOperation, pathOfRoute, titleOfRoute } from "../../http/route-path.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

type WalkedRoute = (typeof routes)[number];

let factory: TrustingFactory;
/** Tokens that are worth nothing in this factory, and why. */
let invalid: Record<string, string>;
let good: string;

beforeAll(async () => {
  factory = await startTrustingFactory(["idp.example.test"]);
  const issuer = factory.issuers.of("idp.example.test");
  const other = await factory.service.createFactory();
  const project = (value: string) => [{ claim: "project_id", equals: value }];
  await factory.trust({ issuer: issuer.url });
  await factory.trust({ issuer: issuer.url, conditions: project("of another factory") }, other.id);
  const deleted = await factory.trust({ issuer: issuer.url, conditions: project("of a deleted rule") });
  const withdrawn = issuer.sign({ project_id: "of a deleted rule" });
  expect((await factory.present(withdrawn)).status).toBe(200);
  await factory.distrust(deleted);
  await factory.trust({ issuer: issuer.url, conditions: project("used"), singleUse: true });
  const used = issuer.sign({ project_id: "used" });
  expect((await factory.present(used)).status).toBe(200);
  good = issuer.sign({ project_id: "42" });
  const elsewhere = issuer.sign({ project_id: "of another factory" });
  expect((await factory.present(elsewhere, other.name)).status).not.toBe(401);
  invalid = {
    "a good signature and a wrong claim": issuer.sign({ project_id: "43" }),
    "an expired one": issuer.sign({ project_id: "42", exp: nowSeconds() - 1 }),
    "one whose rule was deleted": withdrawn,
    "one that was used up": used,
    "one of another factory": elsewhere,
    "a wrong signature": issuer.sign({ project_id: "42" }, {}, newSigningKey("RS256", issuer.key.kid)),
    "one for another audience": issuer.sign({ project_id: "42", aud: randomUUID() }),
  };
});
afterAll(() => factory.close());

function call(route: WalkedRoute, token: string, name = factory.factory.name) {
  const agent = factory.service.as(undefined).set("Authorization", `Bearer ${token}`);
  return agent[route.method](pathOfRoute(route, name));
}

// Who signs as AWS's programs do shows no token, and what devices come for is walked in test/service/aws/.
const guarded = routes.filter(({ auth }) => auth !== "anyone" && auth !== "signature" && auth !== "device");

describe.concurrent.each(guarded.map((route) => [titleOfRoute(route), route] as const))("%s", (_title, route) => {
  it("answers every ID token that is worth nothing one and the same 401, whatever the factory", async () => {
    const names = [factory.factory.name, "no-such-factory"];
    const calls = Object.values(invalid).flatMap((token) => names.map((name) => call(route, token, name)));
    const bodies = (await Promise.all(calls)).map((reply) => {
      const { requestId: _requestId, ...body } = expectProblem(reply, "unauthenticated");
      return JSON.stringify(body);
    });
    expect(new Set(bodies).size).toBe(1);
  });

  if (!route.path.includes("{factory}")) {
    it("knows no ID token: it is worth something in a factory alone", async () => {
      expectProblem(await call(route, good), "unauthenticated");
    });
    return;
  }

  if (["issueRegistryTokens", "checkReferences", "getAwsCredentials", "makeJobAwsKeys"].includes(route.id)) return;
  it("refuses a workload", async () => {
    expectProblem(await call(route, good), "forbidden");
  });
});

const operations = Object.values(relayOperations).filter(({ id }) => id !== "relayPing");
describe.concurrent.each(operations.map(({ id, path }) => [path, id] as const))("GET %s", (path, id) => {
  const ask = (token: string, name: string) =>
    askRelay(factory.service.url, pathOfOperation(path, name), { authorization: basic(name, token) });

  it("answers every ID token that is worth nothing one and the same 401, whatever the factory", async () => {
    const names = [factory.factory.name, "no-such-factory"];
    const calls = Object.values(invalid).flatMap((token) => names.map((name) => ask(token, name)));
    const answers = (await Promise.all(calls)).map(({ status, text }) => JSON.stringify([status, text]));
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toContain("[401,");
  });

  // The stand-in has no such blob: what it sends in its place is cut off.
  if (id === "relayBlob") return;
  it("lets in the one that a rule takes", async () => {
    expect((await ask(good, factory.factory.name)).status).not.toBe(401);
  });
});
