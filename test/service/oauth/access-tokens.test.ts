import { createHash, createPrivateKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openKeyRing } from "../../../src/crypto/open-key-ring.js";
import { readSigningKeys } from "../../../src/identity/oauth/keys/store.js";
import { startTestService, type TestService } from "../../support/test-service.js";
import { login, makeClient } from "./oauth-factory.js";

type Json = Record<string, unknown>;

const issuer = "https://secrets.example.test";
let service: TestService;
let good: { token: string; header: Json; payload: Json };
let signWithOurKey: (text: string) => Buffer;

beforeAll(async () => {
  service = await startTestService({
    FACTORY_SECRETS_PUBLIC_URL: issuer,
    FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "0",
  });
  await service.createFactory("access-tokens-own");
  const client = await makeClient(service, "access-tokens-own", { permissions: ["secrets:list"] });
  const token: string = (await login(service, client)).body.access_token;
  const [header = "", payload = ""] = token.split(".");
  good = { token, header: decode(header), payload: decode(payload) };
  // Worse than any forger could: these tokens are wrong, and signed by the service's own key.
  const keys = await openKeyRing(service.database.prisma, { kind: "setting", text: service.key });
  const [stored] = (await readSigningKeys(service.database.prisma, "api-access")).keys;
  if (!stored) throw new Error("there is no signing key");
  const key = createPrivateKey({ key: await keys.unwrapSigningKey(stored), format: "der", type: "pkcs8" });
  signWithOurKey = (text) => sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
});
afterAll(() => service.close());

const decode = (part: string): Json => JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
const encode = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const signed = (header: unknown, payload: unknown, how = signWithOurKey): string => {
  const text = `${encode(header)}.${encode(payload)}`;
  return `${text}.${how(text).toString("base64url")}`;
};
const now = (): number => Math.floor(Date.now() / 1000);
const withHeader = (change: Json): string => signed({ ...good.header, ...change }, good.payload);
const withPayload = (change: Json): string => signed(good.header, { ...good.payload, ...change });
const without = (name: string): string => {
  const { [name]: _gone, ...payload } = good.payload;
  return signed(good.header, payload);
};

async function statusOf(token: string): Promise<number> {
  return (await service.as(token).get("/v1/whoami")).status;
}

it("takes the token that the service issued, and one that the test signs alike", async () => {
  expect(good.header).toEqual({ alg: "ES256", typ: "at+jwt", kid: expect.stringMatching(/^[\w-]{43}$/) });
  expect(good.payload).toMatchObject({ iss: issuer, aud: issuer, factory: "access-tokens-own", scope: "secrets:list" });
  expect(Number(good.payload.exp) - Number(good.payload.iat)).toBe(900);
  expect(await statusOf(good.token)).toBe(200);
  expect(await statusOf(signed(good.header, good.payload))).toBe(200);
});

describe("refuses a token, even with the service's own signature,", () => {
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const byStranger = (text: string) =>
    sign("sha256", Buffer.from(text), { key: stranger.privateKey, dsaEncoding: "ieee-p1363" });
  const attacks: Record<string, () => string> = {
    "with alg none and no signature": () => `${encode({ ...good.header, alg: "none" })}.${encode(good.payload)}.`,
    "with alg none and a signature": () => withHeader({ alg: "none" }),
    "with HS256 and the public key as the secret": () =>
      signed({ ...good.header, alg: "HS256" }, good.payload, (text) => createHash("sha256").update(text).digest()),
    "with ES384 in its header": () => withHeader({ alg: "ES384" }),
    "with the alg in other letters": () => withHeader({ alg: "es256" }),
    "of type JWT": () => withHeader({ typ: "JWT" }),
    "of type application/at+jwt": () => withHeader({ typ: "application/at+jwt" }),
    "without a type": () => signed({ alg: "ES256", kid: good.header.kid }, good.payload),
    "without a kid": () => signed({ alg: "ES256", typ: "at+jwt" }, good.payload),
    "with a kid that is a path": () => withHeader({ kid: "../../../dev/null" }),
    "with a kid that is SQL": () => withHeader({ kid: "x' UNION SELECT 'key" }),
    "with a crit": () => withHeader({ crit: ["exp"] }),
    "with an embedded jwk": () =>
      signed({ ...good.header, jwk: stranger.publicKey.export({ format: "jwk" }) }, good.payload, byStranger),
    "with a jku": () => withHeader({ jku: "https://attacker.example/jwks.json" }),
    "with a further header member": () => withHeader({ cty: "JWT" }),
    "signed by a stranger": () => signed(good.header, good.payload, byStranger),
    "with an empty signature": () => `${encode(good.header)}.${encode(good.payload)}.`,
    "with a signature of zeros (CVE-2022-21449)": () => signed(good.header, good.payload, () => Buffer.alloc(64)),
    "with a signature in DER": () =>
      signed(good.header, good.payload, (text) => Buffer.concat([Buffer.of(0x30, 0x40), signWithOurKey(text)])),
    "of another issuer": () => withPayload({ iss: "https://attacker.example" }),
    "of its issuer with a slash": () => withPayload({ iss: `${issuer}/` }),
    "for another audience": () => withPayload({ aud: "https://other.example" }),
    "for a list of audiences with ours in it": () => withPayload({ aud: [issuer, "https://other.example"] }),
    "for a list of our audience alone": () => withPayload({ aud: [issuer] }),
    "for an audience that begins with ours": () => withPayload({ aud: `${issuer}.attacker.example` }),
    "without exp": () => without("exp"),
    "with exp as text": () => withPayload({ exp: String(good.payload.exp) }),
    "that has expired": () => withPayload({ iat: now() - 1000, exp: now() - 100 }),
    "that lives longer than any of ours": () => withPayload({ exp: now() + 86_400 }),
    "that expires in the year 9999": () => withPayload({ exp: 253_402_300_799 }),
    "without iat": () => without("iat"),
    "from the future": () => withPayload({ iat: now() + 300, exp: now() + 600 }),
    "that is not valid yet": () => withPayload({ nbf: now() + 300 }),
    "without sub": () => without("sub"),
    "of a session that is none": () => withPayload({ sub: randomUUID() }),
    "whose sub is the client instead of a session": () => withPayload({ sub: good.payload.client_id }),
    "whose sub is a list": () => withPayload({ sub: [good.payload.sub] }),
    "with a claim twice": () =>
      signed(good.header, JSON.stringify(good.payload).replace("{", `{"sub":"${randomUUID()}",`)),
    "with white space in its header": () => signed(` ${JSON.stringify(good.header)}`, good.payload),
    "with its header's members in another order": () => {
      const { alg, typ, kid } = good.header;
      return signed({ typ, alg, kid }, good.payload);
    },
    "with padding": () => `${good.token}=`,
    "in five parts": () => `${good.token}.a.b`,
    "of 20 KiB": () => withPayload({ padding: "x".repeat(20_000) }),
  };

  it.each(Object.entries(attacks))("%s", async (_what, make) => {
    const token = make();
    const reply = await service.as(token).get("/v1/whoami");
    expect([reply.status, reply.body.code]).toEqual([401, "unauthenticated"]);
    const parts = token.split(".").filter((part) => part.length > 20);
    for (const part of parts) expect(service.logLines.some((line) => line.includes(part))).toBe(false);
  });
});

it("refuses the same token once it has expired, though it is remembered", async () => {
  const soon = withPayload({ iat: now() - 800, exp: now() + 5 });
  expect(await statusOf(soon)).toBe(200);
  await expect.poll(() => statusOf(soon), { interval: 200 }).toBe(401);
});
