import { generateKeyPairSync, randomUUID } from "node:crypto";
import { SignJWT } from "jose";
import { z } from "zod";
import { type Api, expectStatus } from "../demo/api-client.js";
import { azure } from "../demo/stand-in-accounts.js";

const base = "/v1/factories/bench";
const issuer = "https://issuer.example.com";
const audience = "https://secrets.example.com";

/** Makes an OAuth client, logs in with it, and gives back the access token. */
export async function openSession(api: Api, url: string, operatorToken: string): Promise<string> {
  const client = { name: "bench", permissions: ["registry-tokens:issue"] };
  const made = expectStatus(await api(operatorToken, `${base}/oauth-clients`, { body: client }), 201);
  const { id, clientSecret } = z.object({ id: z.string(), clientSecret: z.string() }).parse(made.json);
  const form = new URLSearchParams({ grant_type: "client_credentials", client_id: id, client_secret: clientSecret });
  const reply = await fetch(`${url}/oauth/token/`, { method: "POST", body: form });
  return z.object({ access_token: z.string() }).parse(await reply.json()).access_token;
}

/** Makes a trust rule for an issuer whose keys are pasted, and gives back an ID token that it lets in. */
export async function signIdToken(api: Api, operatorToken: string): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "bench", alg: "RS256" }] });
  const conditions = [{ claim: "repository_id", equals: "123456789" }];
  const body = {
    name: "bench",
    issuer,
    audience,
    jwks,
    conditions: [...conditions, { claim: "sub", equals: "workload" }],
    grants: [{ registry: azure.registry }],
  };
  expectStatus(await api(operatorToken, `${base}/trust-rules`, { body }), 201);
  return new SignJWT({ repository_id: "123456789", run_id: "1", jti: randomUUID() })
    .setProtectedHeader({ alg: "RS256", kid: "bench", typ: "JWT" })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject("workload")
    .setIssuedAt()
    .setExpirationTime("12h")
    .sign(privateKey);
}
