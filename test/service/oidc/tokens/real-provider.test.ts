import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { watched } from "../../../support/leak-watch.js";
import { type RealProvider, startRealProvider } from "../../../support/real-oidc-provider.js";
import { expectProblem } from "../../http/expect-problem.js";
import { audience, startTrustingFactory, type TrustingFactory } from "./trusting-factory.js";

let provider: RealProvider;
let factory: TrustingFactory;

beforeAll(async () => {
  provider = await startRealProvider();
  factory = await startTrustingFactory([], provider);
  await factory.trust({ issuer: provider.issuer, audience: provider.clientId });
});
afterAll(async () => {
  await factory.close();
  await provider.close();
});

describe("an ID token of a real OpenID provider", () => {
  it("opens what the rule grants", async () => {
    const token = watched(await provider.idToken({ sub: "project:42", project_id: "42" }));
    const reply = await factory.present(token);
    expect(reply.status).toBe(200);
    expect(reply.body.tokens).toMatchObject([{ registry: "ghcr.io", repositories: ["acme/app"] }]);
    expect((await factory.events("registry-token.issued")).at(-1)).toMatchObject({
      actor: { kind: "oidc", name: "project:42" },
      evidence: { issuer: provider.issuer },
    });
  });

  it("opens nothing for another project", async () => {
    const token = watched(await provider.idToken({ sub: "project:43", project_id: "43" }));
    expectProblem(await factory.present(token), "unauthenticated");
  });

  it("is not an access token: one of the same provider, for the same audience, is refused by its type", async () => {
    const token = watched(await provider.accessToken(audience));
    expect(token.split(".")).toHaveLength(3);
    expectProblem(await factory.present(token), "unauthenticated");
    await expect.poll(() => factory.service.logLines.join("")).toContain('"reason":"type"');
  });
});
