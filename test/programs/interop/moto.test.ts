import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createAwsProvider } from "../../../src/broker/providers/aws/aws.js";
import { createAwsDoctor } from "../../../src/broker/providers/aws/doctor.js";
import type { MintRequest, OpenedSecret } from "../../../src/broker/providers/provider.js";
import { Plaintext } from "../../../src/crypto/plaintext.js";
import type { AwsEntry } from "../../../src/factory-config/entry.js";
import { parseConnectTo } from "../../../src/outbound/connect-to.js";
import { createOutbound, type Outbound, outboundDefaults } from "../../../src/outbound/outbound.js";
import { createTestCertificateAuthority } from "../../support/certificates.js";
import { type Moto, type MotoUser, runMoto } from "../../support/moto/run-moto.js";

const program = process.env.FACTORY_SECRETS_TEST_MOTO;
const region = "us-east-2";
const host = `123456789012.dkr.ecr.${region}.amazonaws.com`;
const reason = program === undefined ? " (skipped: FACTORY_SECRETS_TEST_MOTO does not name moto_server)" : "";

describe.skipIf(program === undefined)(`the aws provider against moto${reason}`, () => {
  let moto: Moto;
  let outbound: Outbound;
  let user: MotoUser;
  let puller: MotoUser;
  let roleArn: string;

  beforeAll(async () => {
    const authority = await createTestCertificateAuthority();
    moto = await runMoto(program ?? "", authority, region);
    outbound = createOutbound({
      ...outboundDefaults,
      connectTo: parseConnectTo(moto.connectTo).rules,
      caCertificates: [authority.caPem],
    });
    user = await moto.createUser("ci", allow("ecr:*", "sts:AssumeRole"));
    roleArn = await moto.createRole("puller-role", allow("ecr:*"));
    puller = await moto.createUser("puller", allow("ecr:GetAuthorizationToken", "ecr:BatchGetImage"));
    await moto.enforceIam(true);
  });

  afterAll(async () => {
    await outbound?.close();
    await moto?.stop();
  });

  const mint = (credentialsFile: string, repositories?: readonly string[]) =>
    createAwsProvider({ outbound, now: () => new Date() }).mint(request(credentialsFile, repositories));

  test("a user's keys buy a password: moto finds the signature good and the permission there", async () => {
    const token = await mint(profile(user));
    expect(token).toMatchObject({ registry: host, kind: "password", username: "AWS", scopeEnforcedBy: "none" });
    expect(token.expiresAt.getTime()).toBeGreaterThan(Date.now() + 11 * 3_600_000);
  });

  test("a wrong secret key is found out by the signature alone", async () => {
    const wrong = { ...user, secretAccessKey: "not-a-real-secret-1" };
    await expect(mint(roleProfile(wrong, roleArn))).rejects.toMatchObject({
      code: "upstream-refused",
      detail: expect.stringContaining("SignatureDoesNotMatch"),
    });
  });

  test("a role is assumed with a session policy that moto accepts, and its session signs the ECR call", async () => {
    const token = await mint(roleProfile(user, roleArn), ["team/app", "team/base"]);
    expect(token).toMatchObject({
      registry: host,
      scopeEnforcedBy: "iam-session-policy",
      repositories: ["team/app", "team/base"],
    });
  });

  test("a user without sts:GetFederationToken is told which permission is missing", async () => {
    await expect(mint(profile(user), ["team/app"])).rejects.toMatchObject({
      code: "scope-not-enforceable",
      detail: expect.stringContaining("sts:GetFederationToken"),
    });
  });

  test("the doctor knows whose keys they are, and what they may do by what moto refuses", async () => {
    const report = await createAwsDoctor({
      outbound,
      now: () => new Date(),
      provider: createAwsProvider({ outbound, now: () => new Date() }),
    }).examine({ ...request(profile(puller), ["team/gone"]), current: Plaintext.fromText(profile(user)) });
    expect(report.principal).toBe(`arn:aws:iam::${moto.accountId}:user/puller`);
    expect(report.checks.map(({ code, outcome }) => `${code} ${outcome}`)).toEqual([
      "login ok",
      "same-principal ok",
      // It lacks sts:GetFederationToken.
      "narrowing warning",
      // moto lets it ask, and has no such repository.
      "reach warning",
      // moto does not know CompleteLayerUpload.
      "push unknown",
      "over-privileged ok",
    ]);
  });

  test("a federated session is opened for a user's keys", async () => {
    // moto gives out one fixed key for every federated session and does not know it afterwards.
    await moto.enforceIam(false);
    const token = await mint(profile(user), ["team/app"]);
    await moto.enforceIam(true);
    expect(token).toMatchObject({ scopeEnforcedBy: "iam-session-policy", repositories: ["team/app"] });
  });

  test("a role is assumed by a web identity, without a signature, and its keys sign the call to ECR", async () => {
    // moto takes any token: whether ours is believed, the stand-ins judge. It fails on this action while it enforces IAM.
    await moto.enforceIam(false);
    const assert = vi.fn(async () => "header.payload.signature");
    const provider = createAwsProvider({ outbound, now: () => new Date() });
    const token = await provider.mint({
      ...request("", ["team/app"]),
      entry: keyless(roleArn),
      secret: undefined,
      assert,
    });
    await moto.enforceIam(true);
    expect(token).toMatchObject({ scopeEnforcedBy: "iam-session-policy", repositories: ["team/app"] });
    expect(assert).toHaveBeenCalledWith("sts.amazonaws.com");
  });
});

function keyless(roleArn: string): AwsEntry {
  return { id: host, type: "aws", host, region, roleArn };
}

function request(
  credentialsFile: string,
  repositories: readonly string[] | undefined,
): MintRequest<AwsEntry> & { secret: OpenedSecret } {
  return {
    entry: { id: host, type: "aws", host, region, secretName: "aws_creds" },
    host,
    factoryId: "00000000-0000-4000-8000-000000000001",
    secret: { name: "aws_creds", version: 1, value: Plaintext.fromText(credentialsFile) },
    assert: () => Promise.reject(new Error("this entry has a secret")),
    repositories,
    allowBroader: false,
    signal: new AbortController().signal,
  };
}

function roleProfile(keys: MotoUser, roleArn: string): string {
  return `[default]\nrole_arn = ${roleArn}\nsource_profile = ci\n${profile(keys, "ci")}`;
}

function profile(keys: MotoUser, name = "default"): string {
  return `[${name}]\naws_access_key_id = ${keys.accessKeyId}\naws_secret_access_key = ${keys.secretAccessKey}\n`;
}

function allow(...actions: readonly string[]): unknown {
  return { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: actions, Resource: "*" }] };
}
