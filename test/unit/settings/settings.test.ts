import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSettings, SettingsError, settingNames } from "../../../src/settings/settings.js";

const key = Buffer.alloc(32, 7).toString("base64");
const secret = "not-a-real-secret-setting";
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "settings-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function fileOf(text: string): string {
  const path = join(directory, `${Math.random()}`);
  writeFileSync(path, text);
  return path;
}

function mistakesOf(environment: Record<string, string>): readonly string[] {
  try {
    readSettings(environment);
  } catch (error) {
    if (error instanceof SettingsError) return error.mistakes;
    throw error;
  }
  return [];
}

describe("settings", () => {
  it("have defaults for everything, and are frozen", () => {
    const settings = readSettings({});
    expect(settings).toMatchObject({
      host: "127.0.0.1",
      port: 8080,
      database: { kind: "embedded", dataDirectory: ".factory-secrets" },
      maxSecrets: 1000,
      tls: undefined,
      limits: { authFailuresPerMinute: 60, tokenRequestsPerMinute: 600 },
      logLevel: "info",
      metricsPort: undefined,
      key: undefined,
    });
    expect(Object.isFrozen(settings)).toBe(true);
  });

  it("leave alone what is none of theirs, and an empty one is an absent one", () => {
    expect(mistakesOf({ PATH: "/bin", PORTS: "x", DATABASE: "x", PORT: "", FACTORY_SECRETS_KEY: "" })).toEqual([]);
  });

  it("take DATABASE_URL, and DATABASE_DIRECT_URL beside it", () => {
    const url = "postgresql://a:b@localhost/db";
    expect(readSettings({ DATABASE_URL: url }).database).toEqual({ kind: "external", url, directUrl: url });
    const directUrl = "postgres://direct/db";
    const both = readSettings({ DATABASE_URL: url, DATABASE_DIRECT_URL: directUrl });
    expect(both.database).toEqual({ kind: "external", url, directUrl });
  });

  it.each(Object.keys(settingNames))("%s can be given as a file", (name) => {
    // Wrong on purpose where a setting has a grammar: that the text was read is seen from the answer being the same.
    expect(mistakesOf({ [`${name}_FILE`]: fileOf("17\n") })).toEqual(mistakesOf({ [name]: "17" }));
  });

  it("are trimmed when they come from a file, which ends with a line end", () => {
    expect(readSettings({ FACTORY_SECRETS_KEY_FILE: fileOf(`${key}\n`) }).key).toBe(key);
  });
});

it("lets the names of the command line in a job be, which one environment may hold beside its own", () => {
  const client = { FACTORY_SECRETS_URL: "https://secrets.example.com", FACTORY_SECRETS_TOKEN_FILE: "/no/such/file" };
  expect(readSettings({ FACTORY_SECRETS_KEY: key, ...client }).key).toBe(key);
});

describe("a mistake is told:", () => {
  it.each([
    [
      { FACTORY_SECRETS_MAX_SECRET: "1" },
      "Unknown setting FACTORY_SECRETS_MAX_SECRET. Did you mean FACTORY_SECRETS_MAX_SECRETS?",
    ],
    [
      { FACTORY_SECRETS_KEYFILE: "x" },
      "Unknown setting FACTORY_SECRETS_KEYFILE. Did you mean FACTORY_SECRETS_KEY_FILE?",
    ],
    [{ FACTORY_SECRET_KEY: "x" }, "Unknown setting FACTORY_SECRET_KEY. Did you mean FACTORY_SECRETS_KEY?"],
    [
      { FACTORY_SECRETS_METRICS_PORT: "8080" },
      "FACTORY_SECRETS_METRICS_PORT is the same as PORT. Choose another, or leave it out.",
    ],
    [
      { DATABASE_URL: `postgresql://u:${secret}/x@db:5432/db` },
      "DATABASE_URL is not a URL. Write special characters of the password as percent and two digits: / as %2F.",
    ],
    [
      { FACTORY_SECRETS_TLS_CERT_FILE: "cert.pem" },
      "FACTORY_SECRETS_TLS_CERT_FILE is set without FACTORY_SECRETS_TLS_KEY_FILE.",
    ],
    [
      { FACTORY_SECRETS_TLS_KEY_FILE: "key.pem" },
      "FACTORY_SECRETS_TLS_KEY_FILE is set without FACTORY_SECRETS_TLS_CERT_FILE.",
    ],
    [
      {
        FACTORY_SECRETS_PUBLIC_URL: "http://secrets.example.com",
        FACTORY_SECRETS_TLS_CERT_FILE: "cert.pem",
        FACTORY_SECRETS_TLS_KEY_FILE: "key.pem",
      },
      "FACTORY_SECRETS_PUBLIC_URL begins with http://, but with FACTORY_SECRETS_TLS_CERT_FILE the service speaks TLS alone. Write https://.",
    ],
    [
      { FACTORY_SECRETS_TLS_CERT: "cert.pem" },
      "Unknown setting FACTORY_SECRETS_TLS_CERT. Did you mean FACTORY_SECRETS_TLS_CERT_FILE?",
    ],
    [{ FACTORY_SECRETS_CA: "ca.pem" }, "Unknown setting FACTORY_SECRETS_CA. Did you mean FACTORY_SECRETS_CA_FILE?"],
    [
      { FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE: "many" },
      "FACTORY_SECRETS_MAX_AUTH_FAILURES_PER_MINUTE must be a whole number from 0 to 1000000.",
    ],
    [{ FACTORY_SECRETS_BANANA: "1" }, "Unknown setting FACTORY_SECRETS_BANANA."],
    [
      { FACTORY_SECRETS_KEY: key, FACTORY_SECRETS_KEY_FILE: "/x" },
      "FACTORY_SECRETS_KEY and FACTORY_SECRETS_KEY_FILE are both set. Keep one.",
    ],
    [
      { FACTORY_SECRETS_KEY_FILE: "/nowhere/key" },
      "FACTORY_SECRETS_KEY_FILE names a file that cannot be read: /nowhere/key",
    ],
    [{ PORT: "http" }, "PORT must be a whole number from 0 to 65535."],
    [{ PORT: "65536" }, "PORT must be a whole number from 0 to 65535."],
    [{ PORT: "-1" }, "PORT must be a whole number from 0 to 65535."],
    [{ PORT: "0x10" }, "PORT must be a whole number from 0 to 65535."],
    [{ FACTORY_SECRETS_MAX_SECRETS: "0" }, "FACTORY_SECRETS_MAX_SECRETS must be a whole number from 1 to 100000."],
    [
      { FACTORY_SECRETS_LOG_LEVEL: "loud" },
      "FACTORY_SECRETS_LOG_LEVEL must be one of fatal, error, warn, info, debug, silent.",
    ],
    [{ DATABASE_URL: `mysql://root:${secret}@db` }, "DATABASE_URL must begin with postgresql://"],
    [{ DATABASE_DIRECT_URL: "postgresql://db" }, "DATABASE_DIRECT_URL is set without DATABASE_URL."],
    [
      { FACTORY_SECRETS_TRUSTED_PROXIES: "10.0.0.0/8, proxy" },
      'FACTORY_SECRETS_TRUSTED_PROXIES: "proxy" is neither an address nor a CIDR, such as 10.0.0.0/8.',
    ],
  ])("%j", (environment, sentence) => {
    expect(mistakesOf(environment)).toEqual([sentence]);
  });

  it.each(["ftp://a", `https://user:${secret}@a`, "https://a?x=1", "https://a#x", "a.example.com"])(
    "FACTORY_SECRETS_PUBLIC_URL=%s",
    (url) => {
      expect(mistakesOf({ FACTORY_SECRETS_PUBLIC_URL: url })).toHaveLength(1);
    },
  );

  it.each([
    ["FACTORY_SECRETS_CONNECT_TO", "nonsense"],
    ["FACTORY_SECRETS_ALLOW_ADDRESSES", "10.0.0.0/99"],
    ["FACTORY_SECRETS_ALLOWED_REALMS", "nonsense"],
    ["FACTORY_SECRETS_PASS_THROUGH_HOSTS", "https://a/b"],
    ["FACTORY_SECRETS_HTTPS_PROXY", "nonsense"],
    ["FACTORY_SECRETS_CA_FILE", "/nowhere/ca.pem"],
  ])("%s=%s, by its name", (name, text) => {
    expect(mistakesOf({ [name]: text })).toEqual([expect.stringMatching(new RegExp(`^${name}`))]);
  });

  it("a key that is none, beside others; alone it is for who knows which key the database needs", () => {
    const sentence = "FACTORY_SECRETS_KEY does not hold a key, which is 32 bytes in base64.";
    expect(mistakesOf({ FACTORY_SECRETS_KEY: secret, PORT: "x" })).toEqual([expect.any(String), sentence]);
    expect(readSettings({ FACTORY_SECRETS_KEY: secret }).key).toBe(secret);
  });

  it("all at once, each on a line of its own, and no secret in any", () => {
    const environment = {
      PORT: "x",
      FACTORY_SECRETS_KEZ: secret,
      DATABASE_URL: `mysql://u:${secret}@db`,
      FACTORY_SECRETS_HTTPS_PROXY: `https://u:${secret}@`,
      FACTORY_SECRETS_LOG_LEVEL: secret,
      FACTORY_SECRETS_MAX_SECRETS: secret,
    };
    expect(mistakesOf(environment)).toHaveLength(Object.keys(environment).length);
    expect(() => readSettings(environment)).toThrow(/^The settings need attention:\n( {2}- .+\n?){6}$/);
    expect(mistakesOf(environment).join()).not.toContain(secret);
  });
});
