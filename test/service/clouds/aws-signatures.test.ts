import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import {
  ECRPUBLICClient,
  GetAuthorizationTokenCommand as GetPublicAuthorizationTokenCommand,
} from "@aws-sdk/client-ecr-public";
import { GetCallerIdentityCommand, GetFederationTokenCommand } from "@aws-sdk/client-sts";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
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
      requestHandler: { httpsAgent: agentFor(clouds) },
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
