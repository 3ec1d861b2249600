import { randomUUID } from "node:crypto";
import { newSigningKey, nowSeconds, signToken } from "../../support/oidc-issuer.js";
import { bearerHost, type FactoryForJobs, passwordHost, startFactoryForJobs } from "../cli/job/factory-for-jobs.js";

/** A factory that lets the jobs of one project in, by the ID tokens of its CI system. */
export type TrustingFactory = FactoryForJobs & {
  /** An ID token of a job of that project. */
  idToken(claims?: Record<string, unknown>): string;
};

export async function startTrustingFactory(): Promise<TrustingFactory> {
  const factory = await startFactoryForJobs();
  const issuer = "https://ci.example.test";
  const key = newSigningKey("RS256");
  const rule = {
    name: "the build",
    issuer,
    audience: factory.service.url,
    jwks: JSON.stringify({ keys: [key.jwk] }),
    conditions: [
      { claim: "sub", equals: "project 7" },
      { claim: "project_id", equals: "7" },
    ],
    grants: [{ registry: passwordHost }, { registry: bearerHost, repositories: ["acme/base"] }],
  };
  const path = `/v1/factories/${factory.factory.name}/trust-rules`;
  const reply = await factory.service.as(factory.service.operatorToken).post(path).send(rule);
  if (reply.status !== 201) throw new Error(`the rule was answered ${reply.status}: ${reply.text}`);
  return {
    ...factory,
    idToken(claims = {}) {
      const times = { iat: nowSeconds(), nbf: nowSeconds(), exp: nowSeconds() + 300, jti: randomUUID() };
      const usual = { iss: issuer, aud: factory.service.url, sub: "project 7", project_id: "7" };
      return signToken({ alg: "RS256", kid: key.kid, typ: "JWT" }, { ...usual, ...times, ...claims }, key);
    },
  };
}
