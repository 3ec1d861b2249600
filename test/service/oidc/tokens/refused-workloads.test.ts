import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { newSigningKey, nowSeconds } from "../../../support/oidc-issuer.js";
import { startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

const host = "idp.example.test";
const coldHost = "cold.example.test";
let factory: TrustingFactory;

beforeAll(async () => {
  factory = await startTrustingFactory([host, coldHost]);
  const { url } = factory.issuers.of(host);
  await factory.trust({ issuer: url, name: "release" });
  const conditions = [
    { claim: "project_id", equals: "50" },
    { claim: "ref", glob: "refs/tags/*" },
  ];
  await factory.trust({ issuer: url, name: "tags", conditions });
  await factory.trust({ issuer: url, name: "once", singleUse: true, conditions: [{ claim: "job", equals: "1" }] });
  await factory.trust({ issuer: factory.issuers.of(coldHost).url, name: "cold" });
  // So that the issuer's keys are held.
  expect((await factory.present(sign({ project_id: "42" }))).status).toBe(200);
});
afterAll(() => factory.close());

const sign = (claims: Record<string, unknown>, of = host): string => factory.issuers.of(of).sign(claims);

type Event = Record<string, unknown>;
const refusals = (): Promise<Event[]> => factory.events("workload.refused").then((events) => events.toReversed());

async function newestAfter(token: string): Promise<Event | undefined> {
  expect((await factory.present(token)).status).toBe(401);
  return (await refusals())[0];
}

it("names the conditions that failed, by the rule nearest to matching, and no value of the token", async () => {
  const value = `not-to-be-shown-${randomUUID()}`;
  const event = await newestAfter(sign({ project_id: value, ref: "refs/heads/1", sub: value }));
  expect(event).toMatchObject({
    outcome: "refused",
    actor: { kind: "unknown", id: "", name: "" },
    issuer: factory.issuers.of(host).url,
    reason: "no-match",
    verified: true,
    requestId: expect.any(String),
    address: "127.0.0.1",
  });
  expect(event?.unmatched).toEqual([
    { id: expect.any(String), name: "once", failed: ["job"] },
    { id: expect.any(String), name: "release", failed: ["project_id"] },
    { id: expect.any(String), name: "tags", failed: ["project_id", "ref"] },
  ]);
  expect(JSON.stringify(event)).not.toContain(value);
});

it("is one event at once, and its repetitions are counted", async () => {
  const before = (await refusals()).length;
  const token = sign({ project_id: "1", ref: "refs/tags/x" });
  for (let round = 0; round < 5; round += 1) expect((await factory.present(token)).status).toBe(401);
  expect((await refusals()).length).toBe(before + 1);
});

it("says that a token was used before, and what it lacks for a single use", async () => {
  const token = sign({ job: "1", project_id: "9" });
  expect((await factory.present(token)).status).toBe(200);
  expect(await newestAfter(token)).toMatchObject({ reason: "already-used", verified: true });
  expect(await newestAfter(sign({ job: "1", jti: undefined }))).toMatchObject({
    reason: "no-token-id",
    unmatched: expect.arrayContaining([expect.objectContaining({ name: "once", failed: ["jti"] })]),
  });
});

it("leaves no event of a forged or expired token, nor of one for somebody else", async () => {
  const before = (await refusals()).length;
  const issuer = factory.issuers.of(host);
  const tokens = [
    issuer.sign({ project_id: "43" }, {}, newSigningKey("RS256", issuer.key.kid)),
    sign({ project_id: "44", exp: nowSeconds() - 5 }),
    sign({ project_id: "45", aud: randomUUID() }),
    sign({ project_id: "46", iss: "https://nobody.example" }),
  ];
  for (const token of tokens) expect((await factory.present(token)).status).toBe(401);
  expect((await refusals()).length).toBe(before);
});

it("asks no issuer for its keys: where none are held, it says that the token was not verified", async () => {
  const event = await newestAfter(sign({ project_id: "43" }, coldHost));
  expect(event).toMatchObject({ verified: false, unmatched: [{ name: "cold", failed: ["project_id"] }] });
  expect(factory.issuers.of(coldHost).endpoint.requests).toEqual([]);
});

it("bounds the events of a factory, however different the tokens are", async () => {
  const issuer = factory.issuers.of(host).url;
  const conditions = Array.from({ length: 6 }, (_, index) => ({ claim: `c${index}`, equals: "1" }));
  await factory.trust({ issuer, name: "many", conditions });
  const before = (await refusals()).length;
  const tokens = Array.from({ length: 64 }, (_, bits) =>
    sign(Object.fromEntries(conditions.slice(0, 6).map(({ claim }, at) => [claim, (bits >> at) & 1 ? "1" : "0"]))),
  );
  // The last one matches the rule.
  await Promise.all(tokens.slice(0, -1).map((token) => factory.present(token)));
  const added = (await refusals()).slice(0, -before || undefined);
  expect(added.length).toBeLessThanOrEqual(51);
  expect(added.filter((event) => event.issuer === "others")).toHaveLength(1);
});
