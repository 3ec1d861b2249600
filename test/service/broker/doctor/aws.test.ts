import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { AwsEntry } from "../../../../src/factory-config/entry.js";
import { awsUser } from "../../../support/broker/brokered-factory.js";
import { type PolicyDocument, policyAllowing } from "../../../support/clouds/aws/iam-policy.js";
import { type StandInClouds, startStandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";
import { examineAgainst, messageOf, outcomes } from "./examine-against.js";

const account = "123456789012";
const region = "us-east-2";
const host = `${account}.dkr.ecr.${region}.amazonaws.com`;
const entry: AwsEntry = { id: host, type: "aws", host, region, secretName: "aws_creds" };
const arnOf = (name: string): string => `arn:aws:ecr:${region}:${account}:repository/${name}`;

/** What a credential of this service should have: to pull, and to be limited. */
const pulling = (...repositories: string[]): PolicyDocument => ({
  Version: "2012-10-17",
  Statement: [
    { Effect: "Allow", Action: ["ecr:GetAuthorizationToken", "sts:GetFederationToken"], Resource: ["*"] },
    { Effect: "Allow", Action: ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], Resource: repositories },
  ],
});

let clouds: StandInClouds;
let made = 0;

beforeAll(async () => {
  clouds = await startStandInClouds();
  for (const name of ["team/app", "team/base"]) clouds.aws.addRepository({ accountId: account, region, name });
});
afterAll(() => clouds.close());
beforeEach(() => {
  for (const endpoint of [clouds.aws.sts, clouds.aws.ecr, clouds.aws.iamApi]) {
    endpoint.heal();
    endpoint.forget();
  }
});

/** A further user, and the credentials file with its keys. */
function addUser(policy: PolicyDocument, accountId = account, userName = "ci") {
  made += 1;
  const keys = awsUser(`D${made}XX`.padEnd(8, "A"));
  const arn = clouds.aws.iam.addUser({ ...keys, accountId, userName: `${userName}-${made}`, policy });
  return { arn, keys, file: `[default]\n${keys.section}` };
}

describe("a credential as it should be", () => {
  it("is said to be who it is, and everything about it is in order", async () => {
    const user = addUser(pulling("*"));
    const report = await examineAgainst(clouds, entry, user.file);
    expect(report.principal).toBe(user.arn);
    expect(outcomes(report)).toEqual(["login ok", "narrowing ok", "reach unknown", "push ok", "over-privileged ok"]);
    expect(report).toMatchObject({ isLoggedIn: true, outcome: "unknown", registry: host, type: "aws" });
  });

  it("is tried by calls that change nothing, each signed for its own service and region", async () => {
    const { file } = addUser(policyAllowing(["*"]));
    await examineAgainst(clouds, entry, file, { repositories: ["team/app"] });
    const asked = [clouds.aws.sts, clouds.aws.ecr, clouds.aws.iamApi].flatMap(({ requests }) =>
      requests.map(({ operation }) => operation),
    );
    // The stand-ins refuse a signature that is not right: every one of these was answered.
    expect(new Set(asked)).toEqual(
      new Set([
        "GetCallerIdentity",
        "GetFederationToken",
        "GetAuthorizationToken",
        "BatchGetImage",
        "CompleteLayerUpload",
        "SimulatePrincipalPolicy",
      ]),
    );
    expect(clouds.aws.iamApi.requests[0]?.host).toBe("iam.amazonaws.com");
  });

  it("is found again in the current version, whatever its keys", async () => {
    const user = addUser(pulling("*"));
    const second = { ...awsUser("SECONDXX") };
    clouds.aws.iam.addUser({
      ...second,
      accountId: account,
      userName: user.arn.split("/")[1] ?? "",
      policy: pulling("*"),
    });
    const report = await examineAgainst(clouds, entry, `[default]\n${second.section}`, { current: user.file });
    expect(outcomes(report)).toContain("same-principal ok");
    expect(messageOf(report, "same-principal")).toBe("It is the principal of the current version.");
  });
});

it("is tried at the registry of its own account, when its entry has no host", async () => {
  const hostless: AwsEntry = { id: `aws:${region}`, type: "aws", region, secretName: "aws_creds" };
  const user = addUser(policyAllowing(["ecr:*", "sts:*"]));
  const report = await examineAgainst(clouds, hostless, user.file, { repositories: ["team/app"] });
  expect(outcomes(report)).toEqual(["login ok", "narrowing ok", "reach ok", "push warning", "over-privileged ok"]);
  expect(report.registry).toBeUndefined();
});

describe("who it is", () => {
  it("tells another user of the account from one of another account", async () => {
    const [before, same, other] = [addUser(pulling("*")), addUser(pulling("*")), addUser(pulling("*"), "999999999999")];
    const near = await examineAgainst(clouds, entry, same.file, { current: before.file });
    expect(outcomes(near)).toContain("same-principal ok");
    expect(messageOf(near, "same-principal")).toContain("another principal of the same account");
    const far = await examineAgainst(clouds, entry, other.file, { current: before.file });
    expect(outcomes(far)).toContain("same-principal warning");
    expect(messageOf(far, "same-principal")).toContain("another account");
  });

  it("cannot be compared with a current version that the cloud refuses already", async () => {
    const [gone, next] = [addUser(pulling("*")), addUser(pulling("*"))];
    clouds.aws.iam.removeKey(gone.keys.accessKeyId);
    const report = await examineAgainst(clouds, entry, next.file, { current: gone.file });
    expect(outcomes(report)).toContain("same-principal unknown");
    expect(report.isLoggedIn).toBe(true);
  });

  it("warns of the root user's keys", async () => {
    const keys = awsUser("ROOTXXXX");
    clouds.aws.iam.addRoot({ ...keys, accountId: account });
    const report = await examineAgainst(clouds, entry, `[default]\n${keys.section}`);
    expect(report.principal).toBe(`arn:aws:iam::${account}:root`);
    expect(outcomes(report)).toEqual(
      expect.arrayContaining(["personal-credential warning", "over-privileged warning"]),
    );
    expect(clouds.aws.iamApi.requests).toEqual([]);
  });

  it("is the role of its profile, which is assumed", async () => {
    const user = addUser(policyAllowing(["sts:*"]));
    const role = { accountId: account, trusts: [user.arn], policy: pulling("*") };
    const arn = clouds.aws.iam.addRole({ ...role, roleName: "puller" });
    const file = `[default]\nrole_arn = ${arn}\nsource_profile = ci\n[ci]\n${user.keys.section}`;
    const report = await examineAgainst(clouds, entry, file, { current: file });
    expect(outcomes(report)).toEqual(expect.arrayContaining(["login ok", "same-principal ok", "narrowing ok"]));
    const untrusted = clouds.aws.iam.addRole({ ...role, roleName: "other", trusts: [] });
    const refused = await examineAgainst(clouds, entry, file.replace(arn, untrusted), { current: file });
    expect(outcomes(refused)).toEqual(["login failed", "same-principal ok"]);
    expect(messageOf(refused, "login")).toContain("sts:AssumeRole");
  });
});

describe("what it may do", () => {
  it("warns of one that may push everywhere, or where it was named", async () => {
    const everywhere = await examineAgainst(clouds, entry, addUser(policyAllowing(["ecr:*", "sts:*"])).file);
    expect(messageOf(everywhere, "push")).toContain("may push to any repository");
    expect(outcomes(everywhere)).toEqual(expect.arrayContaining(["push warning", "reach ok"]));
    expect(messageOf(everywhere, "reach")).toContain("can list 2 repositories");
    const policy = pulling("*");
    policy.Statement.push({ Effect: "Allow", Action: ["ecr:CompleteLayerUpload"], Resource: [arnOf("team/app")] });
    const { file } = addUser(policy);
    const named = await examineAgainst(clouds, entry, file, { repositories: ["team/app", "team/base"] });
    expect(messageOf(named, "push")).toContain("may push to team/app,");
    expect(outcomes(await examineAgainst(clouds, entry, file))).toContain("push ok");
  });

  it("says of each named repository whether it can be pulled, and whether it is there", async () => {
    const { file } = addUser(pulling(arnOf("team/app"), arnOf("team/gone")));
    const repositories = ["team/app", "team/base", "team/gone"];
    const report = await examineAgainst(clouds, entry, file, { repositories });
    expect(report.checks.filter(({ code }) => code === "reach").map(({ outcome }) => outcome)).toEqual([
      "ok",
      "failed",
      "warning",
    ]);
    expect(report.outcome).toBe("failed");
  });

  it("warns of an administrator, by what IAM says of its own policies", async () => {
    const report = await examineAgainst(clouds, entry, addUser(policyAllowing(["*"])).file);
    expect(outcomes(report)).toContain("over-privileged warning");
    expect(messageOf(report, "over-privileged")).toContain("iam:AttachUserPolicy, ec2:RunInstances, s3:DeleteBucket");
    const policy = pulling("*");
    policy.Statement.push({ Effect: "Allow", Action: ["iam:SimulatePrincipalPolicy"], Resource: ["*"] });
    expect(outcomes(await examineAgainst(clouds, entry, addUser(policy).file))).toContain("over-privileged ok");
  });

  it("warns of one whose tokens cannot be limited, and names the permission", async () => {
    const report = await examineAgainst(clouds, entry, addUser(policyAllowing(["ecr:GetAuthorizationToken"])).file);
    expect(outcomes(report)).toContain("narrowing warning");
    expect(messageOf(report, "narrowing")).toContain("sts:GetFederationToken");
  });

  it("asks ECR Public for its own registry", async () => {
    const hub = "public.ecr.aws";
    const publicEntry: AwsEntry = { id: hub, type: "aws", host: hub, region: "us-east-1", secretName: "aws_creds" };
    const away = await startStandInClouds({ aws: { regions: ["us-east-1"] } });
    const keys = awsUser("PUBLICXX");
    away.aws.iam.addUser({ ...keys, accountId: account, userName: "ci" });
    const report = await examineAgainst(away, publicEntry, `[default]\n${keys.section}`);
    expect(outcomes(report)).toEqual(["login ok", "push warning", "over-privileged ok"]);
    await away.close();
  });
});

describe("a credential that does not work", () => {
  it("is told by its form, without a call", async () => {
    const report = await examineAgainst(clouds, entry, "no credentials file\n");
    expect(outcomes(report)).toEqual(["form failed"]);
    expect(clouds.aws.sts.requests).toEqual([]);
  });

  it("is told by what STS or ECR says of it", async () => {
    const gone = addUser(pulling("*"));
    clouds.aws.iam.removeKey(gone.keys.accessKeyId);
    const unknown = await examineAgainst(clouds, entry, gone.file);
    expect(outcomes(unknown)).toEqual(["login failed"]);
    expect(messageOf(unknown, "login")).toContain("InvalidClientTokenId");
    const wrong = addUser(pulling("*"));
    const report = await examineAgainst(
      clouds,
      entry,
      wrong.file.replace(/(secret_access_key = ).*/, "$1not-a-real-secret-9"),
    );
    expect(messageOf(report, "login")).toContain("SignatureDoesNotMatch");
    const useless = await examineAgainst(clouds, entry, addUser(policyAllowing(["s3:*"])).file);
    expect(outcomes(useless)).toEqual(["login failed"]);
    expect(messageOf(useless, "login")).toContain("ecr:GetAuthorizationToken");
  });

  it("has expired", async () => {
    const { keys } = addUser(pulling("*"));
    const principal = clouds.aws.iam.keyOf(keys.accessKeyId)?.principal;
    if (!principal) throw new Error("the user has a principal");
    const session = clouds.aws.iam.openSession({ ...principal, expiresAt: new Date(Date.now() - 1_000) });
    const file = `[default]\naws_access_key_id = ${session.accessKeyId}\naws_secret_access_key = ${session.secretAccessKey}\naws_session_token = ${session.sessionToken}\n`;
    expect(outcomes(await examineAgainst(clouds, entry, file))).toEqual(["expired-credential failed"]);
  });

  it("is not judged by a cloud that does not answer", async () => {
    const { file } = addUser(pulling("*"));
    clouds.aws.ecr.fail("server-error");
    const report = await examineAgainst(clouds, entry, file);
    expect(outcomes(report)).toEqual(["login unknown"]);
    clouds.aws.ecr.heal();
    clouds.aws.iamApi.fail("garbage");
    expect(outcomes(await examineAgainst(clouds, entry, file))).toContain("over-privileged unknown");
  });

  it("is sent nowhere that nobody approved", async () => {
    const report = await examineAgainst(clouds, entry, addUser(pulling("*")).file, { isApproved: false });
    expect(outcomes(report)).toEqual(["destination failed"]);
    expect(clouds.aws.sts.requests).toEqual([]);
  });
});
