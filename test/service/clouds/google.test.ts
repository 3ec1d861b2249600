import { generateKeyPairSync } from "node:crypto";
import { JWT } from "google-auth-library";
import jwt from "jsonwebtoken";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { agentFor } from "../../support/clouds/clouds-agent.js";
import { readOnlyScope } from "../../support/clouds/google/answer-google-token.js";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";

const host = "us-docker.pkg.dev";
const Credentials = z.object({ client_email: z.string(), private_key: z.string(), private_key_id: z.string() });

let clouds: StandInClouds;
let credentials: z.output<typeof Credentials>;

beforeAll(async () => {
  clouds = await startStandInClouds();
  clouds.google.addRegistry(host);
  const account = clouds.google.addServiceAccount({ name: "puller", readable: [`${host}/project/images/`] });
  credentials = Credentials.parse(JSON.parse(account.credentialsJson));
});

afterAll(() => clouds.close());

function client(changes: { key?: string; scopes?: string } = {}): JWT {
  return new JWT({
    email: credentials.client_email,
    key: changes.key ?? credentials.private_key,
    keyId: credentials.private_key_id,
    scopes: [changes.scopes ?? readOnlyScope],
    transporterOptions: { agent: agentFor(clouds) },
  });
}

async function askWith(claims: Record<string, unknown>): Promise<string> {
  const now = clouds.clock.nowSeconds();
  const usual = {
    iss: credentials.client_email,
    aud: "https://oauth2.googleapis.com/token",
    scope: readOnlyScope,
    iat: now,
    exp: now + 3_600,
  };
  const assertion = jwt.sign({ ...usual, ...claims }, credentials.private_key, { algorithm: "RS256" });
  const body = new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  return (await clouds.request({ host: "oauth2.googleapis.com", path: "/token", method: "POST", headers, body })).body;
}

async function pullStatus(accessToken: string, repository: string): Promise<number> {
  const authorization = `Basic ${Buffer.from(`oauth2accesstoken:${accessToken}`).toString("base64")}`;
  return (await clouds.request({ host, path: `/v2/${repository}/manifests/latest`, headers: { authorization } }))
    .status;
}

test("the token that Google's own library gets opens what the account may read", async () => {
  const { access_token: token } = await client().authorize();
  expect(clouds.google.issuedToken(token ?? "")?.email).toBe(credentials.client_email);
  expect(await pullStatus(token ?? "", "project/images/app")).toBe(200);
  expect(await pullStatus(token ?? "", "project/secret/app")).toBe(403);
  clouds.clock.advance(3_600);
  const late = await pullStatus(token ?? "", "project/images/app");
  clouds.clock.advance(-3_600);
  expect(late).toBe(401);
});

test("an assertion signed by another key is refused", async () => {
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2_048,
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  await expect(client({ key: privateKey }).authorize()).rejects.toThrow(/invalid_grant/);
});

test("a scope that reaches further than reading images is refused", async () => {
  const scopes = "https://www.googleapis.com/auth/cloud-platform";
  await expect(client({ scopes }).authorize()).rejects.toThrow(/invalid_scope/);
});

test.each([
  ["for another audience", () => ({ aud: "https://evil.example.test/token" }), "Failed audience check."],
  ["of an unknown account", () => ({ iss: "nobody@example.test" }), "account not found"],
  ["that lives too long", () => ({ exp: clouds.clock.nowSeconds() + 3_700 }), "short-lived"],
  [
    "that has ended",
    () => ({ iat: clouds.clock.nowSeconds() - 60, exp: clouds.clock.nowSeconds() - 1 }),
    "short-lived",
  ],
  ["with two scopes", () => ({ scope: `${readOnlyScope} openid` }), "invalid_scope"],
])("an assertion %s is refused", async (_, claims, reason) => {
  expect(await askWith({})).toContain("ya29.");
  expect(await askWith(claims())).toContain(reason);
});

test("a disabled account gets nothing", async () => {
  const { email, credentialsJson } = clouds.google.addServiceAccount({ name: "retired", readable: [] });
  clouds.google.disable(email);
  const { private_key: key } = Credentials.parse(JSON.parse(credentialsJson));
  const retired = new JWT({ email, key, scopes: [readOnlyScope], transporterOptions: { agent: agentFor(clouds) } });
  await expect(retired.authorize()).rejects.toThrow(/invalid_grant/);
});
