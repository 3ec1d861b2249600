import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import {
  ECRPUBLICClient,
  GetAuthorizationTokenCommand as GetPublicAuthorizationTokenCommand,
} from "@aws-sdk/client-ecr-public";
import {
  AssumeRoleCommand,
  type Credentials,
  GetCallerIdentityCommand,
  GetFederationTokenCommand,
  STSClient,
} from "@aws-sdk/client-sts";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { policyAllowing, policyDenying } from "../support/clouds/aws/iam-policy.js";
import { type StandInClouds, startStandInClouds } from "../support/clouds/start-stand-in-clouds.js";
import { agentFor } from "./clouds-agent.js";

const accountId = "123456789012";
const region = "us-east-2";
const user = { accountId, userName: "ci", accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "not-a-real-secret-1" };
const pullActions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"];

type Keys = { accessKeyId: string; secretAccessKey: string; sessionToken?: string };

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

const requestHandler = () => ({ httpsAgent: agentFor(clouds) });
const sts = (credentials: Keys, maxAttempts = 1) =>
  new STSClient({ region, credentials, maxAttempts, requestHandler: requestHandler() });
const ecr = (credentials: Keys, maxAttempts = 1) =>
  new ECRClient({ region, credentials, maxAttempts, requestHandler: requestHandler() });

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

function sessionPolicy(repositories: readonly string[]): string {
  const login = policyAllowing(["ecr:GetAuthorizationToken"]);
  const arns = repositories.map((name) => `arn:aws:ecr:${region}:${accountId}:repository/${name}`);
  return JSON.stringify({
    ...login,
    Statement: [...login.Statement, ...policyAllowing(pullActions, arns).Statement],
  });
}

function keysOf(credentials: Credentials | undefined): Keys {
  return {
    accessKeyId: credentials?.AccessKeyId ?? "",
    secretAccessKey: credentials?.SecretAccessKey ?? "",
    sessionToken: credentials?.SessionToken ?? "",
  };
}

describe("signatures", () => {
  test("the AWS SDK's own signatures pass, of STS, ECR and ECR Public", async () => {
    const identity = await sts(user).send(new GetCallerIdentityCommand({}));
    expect(identity).toMatchObject({ Account: accountId, Arn: userArn });
    const reply = await ecr(user).send(new GetAuthorizationTokenCommand({}));
    expect(reply.authorizationData?.[0]?.proxyEndpoint).toBe(`https://${registryHost}`);
    expect(reply.authorizationData?.[0]?.expiresAt?.getTime()).toBeGreaterThan(Date.now() + 43_000_000);
    const publicClient = new ECRPUBLICClient({
      region: "us-east-1",
      credentials: user,
      requestHandler: requestHandler(),
    });
    const publicReply = await publicClient.send(new GetPublicAuthorizationTokenCommand({}));
    expect(publicReply.authorizationData?.authorizationToken).toBeTruthy();
  });

  test("a wrong secret, an unknown key and a missing session token are refused", async () => {
    const wrongSecret = { ...user, secretAccessKey: "not-a-real-secret-2" };
    const unknown = { ...user, accessKeyId: "AKIAI44QH8DHBEXAMPLE" };
    await expect(sts(wrongSecret).send(new GetCallerIdentityCommand({}))).rejects.toThrow(/signature/);
    await expect(ecr(wrongSecret).send(new GetAuthorizationTokenCommand({}))).rejects.toMatchObject({
      name: "InvalidSignatureException",
    });
    await expect(sts(unknown).send(new GetCallerIdentityCommand({}))).rejects.toMatchObject({
      name: "InvalidClientTokenId",
    });
    await expect(ecr(unknown).send(new GetAuthorizationTokenCommand({}))).rejects.toMatchObject({
      name: "UnrecognizedClientException",
    });
    const session = await sts(user).send(
      new GetFederationTokenCommand({ Name: "job-1", Policy: sessionPolicy(["team/app"]) }),
    );
    const { sessionToken: _, ...withoutToken } = keysOf(session.Credentials);
    await expect(ecr(withoutToken).send(new GetAuthorizationTokenCommand({}))).rejects.toMatchObject({
      name: "UnrecognizedClientException",
    });
  });

  test.each([
    ["the body", (sent: Sent) => ({ ...sent, body: "[]" })],
    ["the target", (sent: Sent) => ({ ...sent, headers: { ...sent.headers, "x-amz-target": "Spencer.Other" } })],
    ["an unsigned x-amz header", (sent: Sent) => ({ ...sent, headers: { ...sent.headers, "x-amz-more": "1" } })],
    ["the date", (sent: Sent) => ({ ...sent, headers: { ...sent.headers, "x-amz-date": "20200101T000000Z" } })],
    ["the query", (sent: Sent) => ({ ...sent, path: "/?a=b" })],
  ])("a signed request is refused when %s is altered", async (_, alter) => {
    const sent = await captureEcrRequest();
    expect((await clouds.request(sent)).status).toBe(200);
    expect((await clouds.request(alter(sent))).status).toBe(400);
  });

  test("a signed request is refused by another region and after five minutes", async () => {
    const sent = await captureEcrRequest();
    const elsewhere = await startStandInClouds({ aws: { regions: ["eu-west-1"] } });
    elsewhere.aws.iam.addUser(user);
    const { headers, ...rest } = sent;
    const moved = { ...rest, headers: { ...headers, host: "api.ecr.eu-west-1.amazonaws.com" } };
    const answer = await elsewhere.request({ ...moved, host: "api.ecr.eu-west-1.amazonaws.com" });
    await elsewhere.close();
    expect(answer.body).toContain("region");
    clouds.clock.advance(301);
    const late = await clouds.request(sent);
    clouds.clock.advance(-301);
    expect(late.body).toContain("Signature expired");
  });
});

type Sent = { host: string; path: string; method: string; headers: Record<string, string>; body: string };

/** One request of the SDK, signed and not yet sent. */
async function captureEcrRequest(): Promise<Sent> {
  let captured: Sent | undefined;
  const client = new ECRClient({
    region,
    credentials: user,
    maxAttempts: 1,
    requestHandler: {
      handle: async (request: {
        hostname: string;
        path: string;
        method: string;
        headers: Record<string, string>;
        body?: unknown;
      }) => {
        const { "content-length": _, ...headers } = request.headers;
        const body = request.body instanceof Uint8Array ? new TextDecoder().decode(request.body) : String(request.body);
        captured = { host: request.hostname, path: request.path, method: request.method, headers, body };
        throw new Error("captured");
      },
    },
  });
  await client.send(new GetAuthorizationTokenCommand({})).catch(() => undefined);
  if (captured === undefined) throw new Error("the SDK sent nothing");
  return captured;
}

describe("sessions", () => {
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
        requestHandler: requestHandler(),
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
    const client = new STSClient({
      region,
      credentials: user,
      maxAttempts: 1,
      requestHandler: { httpsAgent: agentFor(tight) },
    });
    const command = new GetFederationTokenCommand({ Name: "job-6", Policy: sessionPolicy(["team/app"]) });
    await expect(client.send(command)).rejects.toMatchObject({ name: "PackedPolicyTooLargeException" });
    await tight.close();
  });
});

describe("throttling", () => {
  test("the SDK retries a throttled call and succeeds", async () => {
    clouds.aws.ecr.forget();
    clouds.aws.ecr.fail("throttle", 1);
    await ecr(user, 3).send(new GetAuthorizationTokenCommand({}));
    expect(clouds.aws.ecr.calls("GetAuthorizationToken")).toBe(2);
  });

  test("the SDK knows a throttled call for what it is", async () => {
    clouds.aws.sts.fail("throttle", 1);
    await expect(sts(user).send(new GetCallerIdentityCommand({}))).rejects.toMatchObject({ name: "Throttling" });
    clouds.aws.ecr.fail("throttle", 1);
    await expect(ecr(user).send(new GetAuthorizationTokenCommand({}))).rejects.toMatchObject({
      name: "ThrottlingException",
    });
  });
});
