import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AuditEvent } from "../../../src/audit/contract.js";
import {
  askRelay,
  basic,
  errorOf,
  type RelayedFactory,
  startRelayedFactory,
  tokenFor,
} from "../../support/broker/relayed-factory.js";
import { wrongDigest } from "../../support/registry/tiny-registry.js";

let relay: RelayedFactory;
beforeAll(async () => {
  relay = await startRelayedFactory();
});
afterAll(() => relay.close());
beforeEach(() => {
  relay.registry.asked.length = 0;
});

const name = (repository = "acme/app", host = "ghcr.io"): string => `${relay.factory.name}/${host}/${repository}`;
const bearer = async (token: string): Promise<string> => {
  const { access_token } = await tokenFor(relay.service.url, basic("any", token), [`repository:${name()}:pull`]);
  return `Bearer ${access_token}`;
};
const ask = (path: string, options: Parameters<typeof askRelay>[2] = {}) => askRelay(relay.service.url, path, options);

describe("what is no pull", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  it.each([
    ["POST", "/blobs/uploads/", 405],
    ["POST", `/blobs/uploads/?mount=${digest}&from=other`, 405],
    ["PUT", "/manifests/1", 405],
    ["PATCH", "/blobs/uploads/1", 405],
    ["DELETE", "/manifests/1", 405],
    ["GET", "/blobs/uploads/1", 404],
    ["GET", `/blobs/${digest.toUpperCase()}`, 400],
    ["GET", "/blobs/sha256:abc", 400],
    ["GET", `/blobs/sha256%3A${"a".repeat(64)}`, 400],
    ["GET", "/manifests/.INVALID", 404],
    ["GET", "/manifests/a%2fb", 404],
    ["GET", "/../base/manifests/1", 400],
    ["GET", "/%2e%2e/manifests/1", 400],
    ["GET", "%2fmore/manifests/1", 400],
    ["GET", "//manifests/1", 400],
    ["GET", "/Upper/manifests/1", 400],
    ["GET", "/manifests/1?ns=ghcr.io&ns=quay.io", 400],
    ["GET", "/manifests/1?ns=not_a_host", 400],
    ["GET", "/./manifests/1", 400],
    ["GET", "/%2E%2E%2f%2e%2e/manifests/1", 400],
    ["GET", "/..%2f/manifests/1", 400],
    ["GET", "\\..\\base/manifests/1", 400],
    ["GET", "/x;/manifests/1", 400],
    ["GET", "/manifests/..", 404],
    ["GET", "/manifests/%2e%2e", 404],
    ["GET", `/blobs/${digest}/../../manifests/1`, 400],
    ["GET", `/blobs/uploads/?mount=${digest}`, 404],
    ["PUT", `/blobs/${digest}`, 405],
    ["GET", "/manifests/1/", 404],
    ["GET", "/tags/list/", 404],
    ["GET", "/tags/other", 404],
  ])("answers %s …%s in the protocol's own form, and asks no registry", async (method, rest, status) => {
    const { token } = await relay.openJob();
    const reply = await ask(`/v2/${name()}${rest}`, { method, authorization: `Bearer ${token}` });
    expect(reply.status).toBe(status);
    expect(errorOf(reply).code).toMatch(/^[A-Z_]+$/);
    expect(relay.registry.asked).toEqual([]);
  });

  it.each(["/v2/_catalog", "/v2/token/", "/v2/x", `/v2/${"a/".repeat(200)}manifests/1`])(
    "knows no %s",
    async (path) => {
      const reply = await ask(path, { authorization: `Bearer ${(await relay.openJob()).token}` });
      expect([400, 404]).toContain(reply.status);
      expect(errorOf(reply).code).toMatch(/^[A-Z_]+$/);
    },
  );

  it("is another id's token: the subject of a token of ours is signed", async () => {
    const { token } = await relay.openJob();
    const [header, payload, signature] = (await bearer(token)).slice("Bearer ".length).split(".");
    const claims = JSON.parse(Buffer.from(payload ?? "", "base64url").toString("utf8"));
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: randomUUID() })).toString("base64url");
    const authorization = `Bearer ${header}.${forged}.${signature}`;
    expect((await ask(`/v2/${name()}/manifests/1`, { authorization })).status).toBe(401);
  });
});

describe("the audit", () => {
  it("shows every member of what it has recorded of the relay, as openapi.yaml has them", async () => {
    const { token } = await relay.openJob();
    const authorization = `Bearer ${token}`;
    await ask(`/v2/${name()}/manifests/1`, { authorization });
    await ask(`/v2/${name()}/manifests/1`, { authorization, method: "HEAD" });
    expect((await ask(`/v2/${name()}/manifests/${wrongDigest}`, { authorization })).status).toBe(502);
    for (const action of ["image.pulled", "image.looked-up", "image.digest-wrong"]) {
      const [stored = {}] = await relay.events(action);
      const path = `/v1/factories/${relay.factory.name}/audit?action=${action}`;
      const { body } = await relay.service.as(relay.service.operatorToken).get(path).expect(200);
      const [shown = {}] = body.items;
      expect([action, Object.keys(shown)]).toEqual([action, expect.arrayContaining(Object.keys(stored))]);
      expect([action, Object.keys(shown).filter((key) => !(key in AuditEvent.shape))]).toEqual([action, []]);
    }
  });
});
