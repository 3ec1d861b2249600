import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { AwsEntry } from "../../../../src/factory-config/entry.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { mintAgainst } from "./mint-against.js";

const accountId = "123456789012";
const user = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "not-a-real-secret-1-not-a-real-secret-1" };
const file = `[default]\naws_access_key_id = ${user.accessKeyId}\naws_secret_access_key = ${user.secretAccessKey}\n`;
const entry: AwsEntry = { id: "us-east-2", type: "aws", region: "us-east-2", secretName: "aws_creds" };

let clouds: StandInClouds;
const directory = mkdtempSync(join(tmpdir(), "aws-untrusted-"));
const trace = join(directory, "a-program-ran");
const program = `touch ${trace}`;

beforeAll(async () => {
  clouds = await startStandInClouds();
  clouds.aws.iam.addUser({ accountId, userName: "puller", ...user });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true });
  await clouds.close();
});

describe("configuration that an SDK would act upon", () => {
  it.each([
    ["credential_process", `credential_process = ${program}`],
    ["endpoint_url", "endpoint_url = https://attacker.example.test"],
    ["sso_start_url", "sso_start_url = https://attacker.example.test/start"],
    ["web_identity_token_file", "web_identity_token_file = /etc/hostname"],
    ["credential_source", "credential_source = Ec2InstanceMetadata"],
  ])("in a tenant's secret (%s) reaches neither the SDK nor a shell", async (key, line) => {
    const attacker = key === "endpoint_url" ? clouds.docker.addAttacker("attacker.example.test") : undefined;
    for (const text of [`${file}${line}\n`, `[default]\n${line}\n`, `${file}[other]\n${line}\n`]) {
      const call = mintAgainst(clouds, entry, text);
      await expect(call).rejects.toMatchObject({ code: "secret-malformed", detail: expect.stringContaining(key) });
      await expect(call).rejects.not.toMatchObject({ detail: expect.stringContaining("attacker") });
    }
    expect(existsSync(trace)).toBe(false);
    expect(attacker?.requests ?? []).toEqual([]);
    expect(clouds.aws.ecr.requests).toEqual([]);
  });

  it("of the machine (environment, ~/.aws) changes nothing about a tenant's calls", async () => {
    const config = join(directory, "config");
    const hostile = `endpoint_url = https://attacker2.example.test\ncredential_process = ${program}\nuse_fips_endpoint = nonsense\nmax_attempts = nonsense\nretry_mode = nonsense\ndefaults_mode = nonsense\nregion = eu-west-1\n`;
    writeFileSync(config, `[default]\n${hostile}[profile hostile]\n${hostile}`);
    const attacker = clouds.docker.addAttacker("attacker2.example.test");
    const hostileVariables = {
      AWS_CONFIG_FILE: config,
      AWS_SHARED_CREDENTIALS_FILE: config,
      AWS_PROFILE: "hostile",
      AWS_ENDPOINT_URL: "https://attacker2.example.test",
      AWS_ENDPOINT_URL_ECR: "https://attacker2.example.test",
      AWS_ENDPOINT_URL_STS: "https://attacker2.example.test",
      AWS_REGION: "eu-west-1",
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN0EXAMPLE",
      AWS_SECRET_ACCESS_KEY: "not-a-real-secret-0",
      AWS_USE_FIPS_ENDPOINT: "true",
      AWS_USE_DUALSTACK_ENDPOINT: "true",
      AWS_DEFAULTS_MODE: "nonsense",
      AWS_RETRY_MODE: "nonsense",
      AWS_MAX_ATTEMPTS: "1",
      HTTPS_PROXY: "http://127.0.0.1:9",
      https_proxy: "http://127.0.0.1:9",
    };
    for (const [name, text] of Object.entries(hostileVariables)) vi.stubEnv(name, text);
    await expect(mintAgainst(clouds, entry, file, { repositories: ["team/app"] })).resolves.toMatchObject({
      registry: `${accountId}.dkr.ecr.us-east-2.amazonaws.com`,
      scopeEnforcedBy: "iam-session-policy",
    });
    expect(attacker.requests).toEqual([]);
    expect(existsSync(trace)).toBe(false);
  });
});
