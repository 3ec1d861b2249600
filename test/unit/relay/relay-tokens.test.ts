import { generateKeyPairSync, randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import { AccessTokens } from "../../../src/identity/oauth/access-tokens.js";
import { RelayTokens } from "../../../src/relay/relay-tokens.js";

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
let now = new Date("2030-01-01T00:00:00Z");
const keys = { forSigning: async () => ({ id: "kid", key: privateKey }), find: async () => publicKey };
const deps = { keys, issuer: () => "https://secrets.example.test", now: () => now };
const tokens = new RelayTokens(deps);

const credentialId = randomUUID();
const subject = { holder: { credentialId }, names: ["acme/ghcr.io/app"], isForDevices: false, endsAt: undefined };

describe("a token of the relay", () => {
  it("names its caller and its repositories, for five minutes", async () => {
    const { token, seconds, issuedAt } = await tokens.issue(subject);
    expect([seconds, issuedAt]).toEqual([300, now]);
    const said = { holder: { credentialId }, names: new Set(["acme/ghcr.io/app"]) };
    expect(await tokens.verify(token, { isForDevices: false })).toEqual(said);
    now = new Date(now.getTime() + 300_000);
    expect(await tokens.verify(token, { isForDevices: false })).toBe("expired");
  });

  it("does not outlive what it is told to end with", async () => {
    const endsAt = new Date(now.getTime() + 90_500);
    expect((await tokens.issue({ ...subject, endsAt })).seconds).toBe(90);
  });

  it("is good at one port, and of a device for one certificate", async () => {
    const holder = { deviceId: randomUUID(), fingerprint: "ab".repeat(32) };
    const { token } = await tokens.issue({ ...subject, holder, isForDevices: true });
    expect(await tokens.verify(token, { isForDevices: false })).toBeUndefined();
    expect(await tokens.verify(token, { isForDevices: true })).toMatchObject({ holder });
  });

  it("is taken for no access token, nor an access token for one, whatever signed it", async () => {
    const access = new AccessTokens(deps);
    const { token } = await tokens.issue(subject);
    const factory = { id: randomUUID(), name: "acme" };
    const other = await access.issue({ credentialId, clientId: "c", factory, scope: "", expiresAt: undefined });
    expect([access.isOurs(token), tokens.isOurs(other.token)]).toEqual([false, false]);
    expect(await access.verify(token)).toBeUndefined();
    expect(await tokens.verify(other.token, { isForDevices: false })).toBeUndefined();
  });

  it("is remembered once it was verified, and not before", async () => {
    const { token } = await tokens.issue(subject);
    expect(tokens.remembers(token)).toBe(false);
    await tokens.verify(token, { isForDevices: false });
    expect(tokens.remembers(token)).toBe(true);
  });
});
