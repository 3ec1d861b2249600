import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AwsEntry } from "../../../../src/factory-config/entry.js";
import { policyAllowing } from "../../../support/clouds/aws/iam-policy.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { authorizationOf, type MintOptions, mintAgainst } from "./mint-against.js";

const accountId = "123456789012";
const region = "us-east-2";
const user = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "not-a-real-secret-1-not-a-real-secret-1" };
const weakUser = { accessKeyId: "AKIAIOSFODNN8EXAMPLE", secretAccessKey: "not-a-real-secret-2-not-a-real-secret-2" };
const userFile = `[default]\naws_access_key_id = ${user.accessKeyId}\naws_secret_access_key = ${user.secretAccessKey}\n`;
const weakFile = userFile
  .replaceAll(user.accessKeyId, weakUser.accessKeyId)
  .replaceAll(user.secretAccessKey, weakUser.secretAccessKey);

let clouds: StandInClouds;
let host: string;
beforeAll(async () => {
  clouds = await startStandInClouds();
  const { iam } = clouds.aws;
  const userArn = iam.addUser({ accountId, userName: "puller", ...user });
  iam.addUser({ accountId, userName: "weak", ...weakUser, policy: policyAllowing(["ecr:*", "sts:AssumeRole"]) });
  const long = iam.addRole({
    accountId,
    roleName: "long",
    trusts: [userArn],
    externalId: "factory-7",
    maxSessionSeconds: 43_200,
  });
  iam.addRole({ accountId, roleName: "short", trusts: [userArn], maxSessionSeconds: 7_200 });
  iam.addRole({ accountId: "210987654321", roleName: "far", trusts: [long], maxSessionSeconds: 43_200 });
  host = clouds.aws.addRegistry(accountId, region).host;
});
afterAll(() => clouds.close());
beforeEach(() => {
  for (const endpoint of [clouds.aws.sts, clouds.aws.ecr, clouds.aws.ecrPublic]) {
    endpoint.heal();
    endpoint.forget();
  }
});

const entry: AwsEntry = { id: "us-east-2", type: "aws", region, secretName: "aws_creds" };
const mint = (file: string, options: MintOptions = {}, more: Partial<AwsEntry> = {}) =>
  mintAgainst(clouds, { ...entry, ...more }, file, options);

const roleFile = (role: string, account = accountId, extra = "") =>
  `${userFile.replace("[default]", "[base]")}[default]\nrole_arn = arn:aws:iam::${account}:role/${role}\nsource_profile = base\n${extra}`;

async function statusOf(authorization: string, repository: string): Promise<number> {
  const reply = await clouds.request({ host, path: `/v2/${repository}/manifests/latest`, headers: { authorization } });
  return reply.status;
}

describe("an ECR token", () => {
  it("takes its host from the reply when the entry has none, and calls no STS", async () => {
    const token = await mint(userFile);
    expect(token).toMatchObject({
      registry: host,
      type: "aws",
      kind: "password",
      username: "AWS",
      scopeEnforcedBy: "none",
    });
    expect(token).not.toHaveProperty("repositories");
    expect(token.expiresAt.getTime() - Date.now()).toBeGreaterThan(43_000_000);
    expect(clouds.aws.sts.requests).toEqual([]);
    expect(await statusOf(authorizationOf(token), "team/app")).toBe(200);
  });

  it("of a user's keys is held to the repositories by GetFederationToken", async () => {
    const token = await mint(userFile, { repositories: ["team/app", "team/base"] });
    expect(token).toMatchObject({ repositories: ["team/app", "team/base"], scopeEnforcedBy: "iam-session-policy" });
    expect(await statusOf(authorizationOf(token), "team/base")).toBe(200);
    expect(await statusOf(authorizationOf(token), "team/other")).not.toBe(200);
    expect(clouds.aws.sts.requests.map((request) => request.operation)).toEqual([
      "GetCallerIdentity",
      "GetFederationToken",
    ]);
  });

  it("takes the policy's account and region from the entry's host, without asking who the caller is", async () => {
    await mint(userFile, { repositories: ["team/app"] }, { host });
    const [request] = clouds.aws.sts.requests;
    expect(request?.operation).toBe("GetFederationToken");
    expect(JSON.parse(request?.form.Policy?.[0] ?? "")).toEqual({
      Version: "2012-10-17",
      Statement: [
        { Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource: "*" },
        {
          Effect: "Allow",
          Action: [
            "ecr:BatchCheckLayerAvailability",
            "ecr:BatchGetImage",
            "ecr:BatchImportUpstreamImage",
            "ecr:GetDownloadUrlForLayer",
          ],
          Resource: [`arn:aws:ecr:us-east-2:${accountId}:repository/team/app`],
        },
      ],
    });
    expect(request?.form.Name?.[0]).toMatch(/^fs-[0-9a-f]{29}$/);
  });

  it("of a role is asked for with the longest session", async () => {
    const token = await mint(roleFile("long", accountId, "external_id = factory-7\n"), { repositories: ["team/app"] });
    expect(clouds.aws.sts.requests[0]?.form).toMatchObject({ DurationSeconds: ["43200"], ExternalId: ["factory-7"] });
    expect(await statusOf(authorizationOf(token), "team/app")).toBe(200);
    expect(await statusOf(authorizationOf(token), "team/other")).not.toBe(200);
  });

  it("of a role with a shorter limit goes down until STS takes it", async () => {
    const token = await mint(roleFile("short"));
    const asked = clouds.aws.sts.requests.map((request) => request.form.DurationSeconds?.[0]);
    expect(asked).toEqual(["43200", "28800", "14400", "7200"]);
    const secondsLeft = (end = token.expiresAt) => (end.getTime() - Date.now()) / 1_000;
    expect(secondsLeft(token.usableUntil)).toBeGreaterThan(7_100);
    expect(secondsLeft(token.usableUntil)).toBeLessThan(7_201);
    // The password states its own end: it may outlive the session, so limits go by that.
    expect(secondsLeft(token.expiresAt)).toBeGreaterThan(43_000);
  });

  it("of chained roles asks for an hour at the second, limited by the policy only there", async () => {
    const file = `${userFile.replace("[default]", "[base]")}[middle]\nrole_arn = arn:aws:iam::${accountId}:role/long\nexternal_id = factory-7\nsource_profile = base\n[default]\nrole_arn = arn:aws:iam::210987654321:role/far\nsource_profile = middle\n`;
    const token = await mint(file, { repositories: ["team/app"] });
    const [first, second] = clouds.aws.sts.requests;
    expect([first?.form.DurationSeconds, second?.form.DurationSeconds]).toEqual([["43200"], ["3600"]]);
    expect(first?.form).not.toHaveProperty("Policy");
    expect(second?.form.Policy?.[0]).toContain("arn:aws:ecr:us-east-2:210987654321:repository/team/app");
    expect(token.registry).toBe(`210987654321.dkr.ecr.${region}.amazonaws.com`);
  });

  it("uses the profile that the entry names", async () => {
    const file = `[default]\naws_access_key_id = AKIAIOSFODNN9EXAMPLE\naws_secret_access_key = not-a-real-secret-9\n${userFile.replace("[default]", "[ci]")}`;
    await expect(mint(file, {}, { profile: "ci" })).resolves.toMatchObject({ username: "AWS" });
    await expect(mint(file, {}, { profile: "gone" })).rejects.toMatchObject({
      code: "secret-malformed",
      detail: expect.stringContaining("no profile [gone]"),
    });
  });
});

describe("an ECR Public token", () => {
  const publicEntry = { host: "public.ecr.aws", region: "us-east-1" };

  it("comes from ecr-public in us-east-1", async () => {
    const outside = await startStandInClouds({ aws: { regions: ["us-east-1"] } });
    outside.aws.iam.addUser({ accountId, userName: "puller", ...user });
    const token = await mintAgainst(outside, { ...entry, ...publicEntry }, userFile);
    expect(token).toMatchObject({ registry: "public.ecr.aws", username: "AWS", scopeEnforcedBy: "none" });
    await outside.close();
  });

  it("does not claim to be limited to repositories, which anyone may read", async () => {
    await expect(mint(userFile, { repositories: ["nginx/nginx"] }, publicEntry)).rejects.toMatchObject({
      code: "scope-not-enforceable",
    });
  });
});

describe("a demand that AWS cannot hold to", () => {
  it("names the permission that the user lacks", async () => {
    await expect(mint(weakFile, { repositories: ["team/app"] })).rejects.toMatchObject({
      code: "scope-not-enforceable",
      status: 422,
      detail: expect.stringContaining("sts:GetFederationToken"),
    });
  });

  it("is dropped when the caller allows a broader token, and the reply says so", async () => {
    const token = await mint(weakFile, { repositories: ["team/app"], allowBroader: true });
    expect(token).toMatchObject({ scopeEnforcedBy: "none" });
    expect(token).not.toHaveProperty("repositories");
  });

  it("is refused for temporary keys without asking STS for what it never grants", async () => {
    const file = userFile.replace("AKIA", "ASIA").concat("aws_session_token = not-a-real-session-token\n");
    await expect(mint(file, { repositories: ["team/app"] }, { host })).rejects.toMatchObject({
      code: "scope-not-enforceable",
      detail: expect.stringContaining("temporary keys"),
    });
    expect(clouds.aws.sts.requests).toEqual([]);
  });

  it("says how many repositories fit", async () => {
    const repositories = Array.from({ length: 60 }, (_, index) => `team/service-with-a-long-name-${index}`);
    const call = mint(userFile, { repositories }, { host });
    await expect(call).rejects.toMatchObject({
      code: "scope-not-enforceable",
      detail: expect.stringMatching(/about \d+ of these fit/),
    });
    expect(clouds.aws.sts.requests).toEqual([]);
  });

  it("says how many fit when the packed size is what is too large", async () => {
    const packed = await startStandInClouds({ aws: { packedPolicyLimitBytes: 200 } });
    packed.aws.iam.addUser({ accountId, userName: "puller", ...user });
    const repositories = Array.from({ length: 10 }, (_, index) => `team/service-${index}`);
    await expect(mintAgainst(packed, { ...entry, host }, userFile, { repositories })).rejects.toMatchObject({
      code: "scope-not-enforceable",
      detail: expect.stringMatching(/about [1-9] of these fit/),
    });
    await packed.close();
  });

  it.each(["team/*", "team/app:pull repository", "", "../x", "team/app?"])(
    "refuses the repository name %j",
    async (name) => {
      await expect(mint(userFile, { repositories: [name] })).rejects.toMatchObject({ code: "invalid-request" });
    },
  );
});

describe("trouble with AWS", () => {
  it("names secret, entry and AWS's code for a wrong key, and quotes nothing", async () => {
    const call = mint(userFile.replace(user.accessKeyId, "AKIAIOSFODNNXEXAMPLE"));
    await expect(call).rejects.toMatchObject({
      code: "upstream-refused",
      detail: expect.stringMatching(
        /secret "aws_creds" \(version 3\) of registry entry "us-east-2".*UnrecognizedClientException/,
      ),
    });
    await expect(mint(userFile.replace("secret-1", "secret-0"))).rejects.toMatchObject({
      detail: expect.stringContaining("InvalidSignatureException"),
    });
  });

  it("names the action for a role that may not be assumed", async () => {
    await expect(mint(roleFile("long"))).rejects.toMatchObject({
      code: "upstream-refused",
      detail: expect.stringContaining("sts:AssumeRole"),
    });
  });

  it("rides out one throttling and reports the rest with Retry-After", async () => {
    clouds.aws.ecr.fail("throttle", 1);
    await expect(mint(userFile)).resolves.toMatchObject({ username: "AWS" });
    clouds.aws.ecr.fail("throttle");
    await expect(mint(userFile)).rejects.toMatchObject({ code: "upstream-throttled", retryAfterSeconds: 5 });
  });

  it.each([
    ["garbage", "upstream-invalid"],
    ["empty-object", "upstream-invalid"],
    ["huge", "upstream-invalid"],
    ["drop", "upstream-unreachable"],
    ["half", "upstream-unreachable"],
    ["server-error", "upstream-unreachable"],
  ] as const)("turns %s into %s", async (fault, code) => {
    clouds.aws.ecr.fail(fault);
    await expect(mint(userFile)).rejects.toMatchObject({ name: "Problem", code });
    clouds.aws.ecr.heal();
    clouds.aws.sts.fail(fault);
    await expect(mint(roleFile("short"))).rejects.toMatchObject({ name: "Problem", code });
  });

  it("gives up on a stalled call once, without the SDK trying again", async () => {
    clouds.aws.ecr.fail("stall");
    await expect(mint(userFile, { totalTimeoutMs: 1_500 })).rejects.toMatchObject({ code: "upstream-timeout" });
    expect(clouds.aws.ecr.requests).toHaveLength(1);
  });

  it("rejects with the caller's reason when nobody waits any more", async () => {
    clouds.aws.ecr.fail("stall");
    const controller = new AbortController();
    const call = mint(userFile, { signal: controller.signal });
    const gone = new Error("nobody waits");
    setTimeout(() => controller.abort(gone), 100);
    await expect(call).rejects.toBe(gone);
  });

  it.each(["us-east-2.attacker.example/", "evil.example#", "localhost"])(
    "sends nothing to the region %j",
    async (bad) => {
      await expect(mint(userFile, {}, { region: bad })).rejects.toMatchObject({ code: "destination-refused" });
    },
  );

  it("uses no AWS credential for a host that is not a registry of AWS", async () => {
    for (const bad of ["ghcr.io", "x.s3.amazonaws.com", `${accountId}.dkr.ecr.us-east-2.amazonaws.com.evil.example`]) {
      await expect(mint(userFile, { host: bad })).rejects.toMatchObject({ code: "destination-refused" });
    }
  });
});
