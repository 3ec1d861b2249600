import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { AssumeRoleCommand, GetFederationTokenCommand } from "@aws-sdk/client-sts";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { policyAllowing, policyDenying } from "../../support/clouds/aws/iam-policy.js";
import {
  accountId,
  ecrClient,
  type Keys,
  keysOf,
  region,
  sessionPolicy,
  stsClient,
  user,
} from "../../support/clouds/aws-clients.js";
import { agentFor } from "../../support/clouds/clouds-agent.js";
import { type StandInClouds, startStandInClouds } from "../../support/clouds/start-stand-in-clouds.js";

let clouds: StandInClouds;
let registryHost: string;
let userArn: string;

beforeAll(async () => {
  clouds = await startStandInClouds();
  registryHost = clouds.aws.addRegistry(accountId, region).host;
});

afterAll(() => clouds.close());

beforeEach(() => {
  userArn = clouds.aws.iam.addUser(user);
});

const sts = (keys: Keys, maxAttempts = 1) => stsClient(clouds, keys, maxAttempts);
const ecr = (keys: Keys, maxAttempts = 1) => ecrClient(clouds, keys, maxAttempts);

async function ecrPassword(credentials: Keys): Promise<string> {
  const reply = await ecr(credentials).send(new GetAuthorizationTokenCommand({}));
  const token = reply.authorizationData?.[0]?.authorizationToken ?? "";
  return Buffer.from(token, "base64").toString("utf8").replace(/^AWS:/, "");
}

async function pullStatus(password: string, repository: string): Promise<number> {
  const authorization = `Basic ${Buffer.from(`AWS:${password}`).toString("base64")}`;
  const path = `/v2/${repository}/manifests/latest`;
  return (await clouds.request({ host: registryHost, path, headers: { authorization } })).status;
}

test("the password of a federated session opens the repositories of its policy and no other", async () => {
  const session = await sts(user).send(
    new GetFederationTokenCommand({ Name: "job-1", Policy: sessionPolicy(["team/app"]), DurationSeconds: 900 }),
  );
  expect(session.PackedPolicySize).toBeGreaterThan(0);
  const password = await ecrPassword(keysOf(session.Credentials));
  expect(await pullStatus(password, "team/app")).toBe(200);
  expect(await pullStatus(password, "team/other")).toBe(403);
  expect(await pullStatus(await ecrPassword(user), "team/other")).toBe(200);
  expect(await pullStatus("not-a-password", "team/app")).toBe(401);
});

test("a session ends: its keys and its password stop working", async () => {
  const session = await sts(user).send(
    new GetFederationTokenCommand({ Name: "job-2", Policy: sessionPolicy(["team/app"]), DurationSeconds: 900 }),
  );
  const keys = keysOf(session.Credentials);
  const password = await ecrPassword(keys);
  clouds.clock.advance(901);
  try {
    expect(await pullStatus(password, "team/app")).toBe(403);
    const systemClockOffset = 901_000;
    const client = new ECRClient({
      region,
      credentials: keys,
      maxAttempts: 1,
      systemClockOffset,
      requestHandler: { httpsAgent: agentFor(clouds) },
    });
    await expect(client.send(new GetAuthorizationTokenCommand({}))).rejects.toMatchObject({
      name: "ExpiredTokenException",
    });
  } finally {
    clouds.clock.advance(-901);
  }
});

test("a user without the permission may not call GetFederationToken, and no session may", async () => {
  const policy = policyDenying(policyAllowing(["ecr:*", "sts:*"]), ["sts:GetFederationToken"]);
  clouds.aws.iam.addUser({ ...user, policy });
  const command = new GetFederationTokenCommand({ Name: "job-3", Policy: sessionPolicy(["team/app"]) });
  await expect(sts(user).send(command)).rejects.toMatchObject({ name: "AccessDenied" });
  clouds.aws.iam.addUser(user);
  const session = await sts(user).send(command);
  await expect(sts(keysOf(session.Credentials)).send(command)).rejects.toMatchObject({ name: "AccessDenied" });
});

test("a role holds to its trust, its external id and its longest session", async () => {
  const role = {
    accountId,
    roleName: "puller",
    trusts: [userArn],
    externalId: "factory-1",
    maxSessionSeconds: 7_200,
  };
  const RoleArn = clouds.aws.iam.addRole(role);
  const ask = { RoleArn, RoleSessionName: "job-4", ExternalId: "factory-1", DurationSeconds: 7_200 };
  const session = await sts(user).send(new AssumeRoleCommand(ask));
  expect(await pullStatus(await ecrPassword(keysOf(session.Credentials)), "team/app")).toBe(200);
  await expect(sts(user).send(new AssumeRoleCommand({ ...ask, ExternalId: "factory-2" }))).rejects.toMatchObject({
    name: "AccessDenied",
  });
  await expect(sts(user).send(new AssumeRoleCommand({ ...ask, DurationSeconds: 7_201 }))).rejects.toThrow(
    /MaxSessionDuration/,
  );
});

test("a chained role lives an hour at most", async () => {
  const first = clouds.aws.iam.addRole({ accountId, roleName: "first", trusts: [userArn] });
  const second = clouds.aws.iam.addRole({
    accountId,
    roleName: "second",
    trusts: [first],
    maxSessionSeconds: 43_200,
  });
  const session = await sts(user).send(new AssumeRoleCommand({ RoleArn: first, RoleSessionName: "job-5" }));
  const chained = { RoleArn: second, RoleSessionName: "job-5", DurationSeconds: 3_601 };
  const client = sts(keysOf(session.Credentials));
  await expect(client.send(new AssumeRoleCommand(chained))).rejects.toThrow(/role chaining/);
  await client.send(new AssumeRoleCommand({ ...chained, DurationSeconds: 3_600 }));
});

test("a session policy is refused when it is too long, too large packed or not a policy", async () => {
  const ask = (Policy: string) => sts(user).send(new GetFederationTokenCommand({ Name: "job-6", Policy }));
  await expect(ask(sessionPolicy(["a".repeat(2_000)]))).rejects.toMatchObject({ name: "ValidationError" });
  await expect(ask('{"Version":"2012-10-17","Statement":[]}')).rejects.toMatchObject({
    name: "MalformedPolicyDocumentException",
  });
  const tight = await startStandInClouds({ aws: { packedPolicyLimitBytes: 100 } });
  tight.aws.iam.addUser(user);
  const client = stsClient(tight, user);
  const command = new GetFederationTokenCommand({ Name: "job-6", Policy: sessionPolicy(["team/app"]) });
  await expect(client.send(command)).rejects.toMatchObject({ name: "PackedPolicyTooLargeException" });
  await tight.close();
});
