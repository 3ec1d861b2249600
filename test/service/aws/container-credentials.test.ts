import { GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { fromHttp } from "@aws-sdk/credential-provider-http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type AwsFactory, azureHost, host, otherHost, startAwsFactory } from "../../support/aws/aws-factory.js";
import { pull } from "../../support/broker/brokered-factory.js";
import { ecrClient } from "../../support/clouds/aws-clients.js";
import { startTestService } from "../../support/test-service.js";

let factory: AwsFactory;
let path: string;
let job: { id: string; token: string };
beforeAll(async () => {
  factory = await startAwsFactory();
  path = `/v1/factories/${factory.factory.name}/aws-credentials`;
});
afterAll(() => factory.close());
beforeEach(async () => {
  job = await factory.openJob({ grants: [{ registry: host, repositories: ["team/app"] }] });
});

/** As AWS's programs ask: the token is sent as it is. */
const ask = (authorization: string, query = "", on = factory.service) =>
  on.as(undefined).get(`${path}${query}`).set("Authorization", authorization);

describe("a container's credentials endpoint", () => {
  it("gives credentials in AWS's own names, for an hour", async () => {
    const reply = await ask(job.token);
    expect(reply.body).toEqual({
      AccessKeyId: expect.stringMatching(/^ASIA/),
      SecretAccessKey: expect.any(String),
      Token: expect.any(String),
      Expiration: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
    expect(reply.headers["cache-control"]).toBe("no-store");
    const seconds = (Date.parse(reply.body.Expiration) - Date.now()) / 1_000;
    expect([seconds > 3_500, seconds <= 3_600]).toEqual([true, true]);
  });

  it("takes the token with Bearer in front too", async () => {
    expect((await ask(`Bearer ${job.token}`)).status).toBe(200);
    // Nowhere else does it stand alone.
    expect((await factory.service.as(undefined).get("/v1/whoami").set("Authorization", job.token)).status).toBe(401);
  });

  it("gives credentials that AWS holds to what the job may pull", async () => {
    const { body } = await ask(job.token);
    const password = await passwordFor(body);
    expect(await pull(factory.clouds, host, "team/app", password)).toBe(200);
    expect(await pull(factory.clouds, host, "team/other", password)).toBe(403);
  });

  it("narrows those of a job without grants to pulling, of every repository", async () => {
    const whole = await factory.openJob();
    const { body } = await ask(whole.token, `?registry=${host}`);
    expect(await pull(factory.clouds, host, "team/other", await passwordFor(body))).toBe(200);
    const policies = factory.clouds.aws.sts.requests.map(({ form }) => form.Policy?.[0] ?? "");
    expect(policies.at(-1)).toContain(":repository/*");
    expect(policies.at(-1)).not.toContain("ecr:*");
  });

  it("answers from memory, with one audit row and no call of the cloud", async () => {
    const first = await ask(job.token);
    factory.clouds.aws.sts.forget();
    // AWS's programs wait for two seconds: no time to ask a cloud that is slow.
    factory.clouds.aws.sts.fail("stall");
    const again = await ask(job.token);
    factory.clouds.aws.sts.heal();
    expect(again.body).toEqual(first.body);
    expect(factory.clouds.aws.sts.requests).toHaveLength(0);
    const [event] = (await factory.events("aws-credentials.issued")).slice(-1);
    expect(event).toMatchObject({
      actor: { kind: "job", id: job.id },
      cached: true,
      via: "container-credentials",
      repositories: ["team/app"],
      scopeEnforcedBy: "iam-session-policy",
      secret: "aws_creds",
    });
    expect(JSON.stringify(event)).not.toContain(first.body.AccessKeyId);
  });

  it("is fetched by the AWS SDK for JavaScript", async () => {
    const fetched = await provider({ awsContainerAuthorizationToken: job.token })();
    expect(fetched).toMatchObject({ accessKeyId: expect.stringMatching(/^ASIA/), expiration: expect.any(Date) });
  });
});

describe("what is refused is said where AWS's programs look for it", () => {
  const expectRefusal = async (reply: ReturnType<typeof ask>, status: number, code: string) => {
    const { body, status: answered } = await reply;
    expect([answered, body.Code]).toEqual([status, code]);
    expect(body.Message).toBe(body.detail);
    return body.Message;
  };

  it("a principal that AWS does not narrow, with the way out: never is it handed out whole", async () => {
    const temporary = "123456789012.dkr.ecr.us-west-2.amazonaws.com";
    const whole = await factory.openJob();
    const message = await expectRefusal(ask(whole.token, `?registry=${temporary}`), 422, "scope-not-enforceable");
    expect(message).toContain("role_arn");
    expect(message).not.toContain("allowBroader");
  });

  it("another registry, one of another cloud, several, none of that name", async () => {
    const whole = await factory.openJob();
    await expectRefusal(ask(job.token, `?registry=${otherHost}`), 403, "outside-grants");
    await expectRefusal(ask(whole.token, `?registry=${azureHost}`), 422, "not-representable");
    await expectRefusal(ask(whole.token), 422, "registry-required");
    await expectRefusal(ask(whole.token, "?registry=nobody.example.com"), 422, "registry-unknown");
  });

  it("a job that has ended, on every replica; an expired token; a wrong one", async () => {
    const replica = await startTestService(factory.environment, factory.service);
    expect((await ask(job.token, "", replica)).status).toBe(200);
    const jobPath = `/v1/factories/${factory.factory.name}/jobs/${job.id}`;
    await factory.service.as(factory.service.operatorToken).delete(jobPath).expect(204);
    await expectRefusal(ask(job.token, "", replica), 401, "unauthenticated");
    await expectRefusal(ask(job.token), 401, "unauthenticated");
    await expectRefusal(ask("garbage"), 401, "unauthenticated");
    await replica.close();
  });

  it("and the AWS SDK for JavaScript prints the sentence", async () => {
    const refused = provider({ awsContainerAuthorizationToken: job.token }, `?registry=${otherHost}`)();
    await expect(refused).rejects.toMatchObject({
      Code: "outside-grants",
      Message: expect.stringContaining("This job was opened for less"),
    });
  });

  it("a cloud that fails, as worth another try", async () => {
    const other = await factory.openJob({ grants: [{ registry: host, repositories: ["team/slow"] }] });
    factory.clouds.aws.sts.fail("server-error");
    await expectRefusal(ask(other.token), 502, "upstream-unreachable");
    factory.clouds.aws.sts.heal();
    expect((await factory.events("aws-credentials.failed")).slice(-1)).toMatchObject([
      { code: "upstream-unreachable" },
    ]);
  });
});

const provider = (options: object, query = "") =>
  fromHttp({
    awsContainerCredentialsFullUri: `${factory.service.url}${path}${query}`,
    maxRetries: 0,
    ...options,
  });

type Reply = { AccessKeyId: string; SecretAccessKey: string; Token: string };

/** What ECR gives to the holder of these credentials, as docker presents it. */
async function passwordFor({ AccessKeyId, SecretAccessKey, Token }: Reply): Promise<string> {
  const credentials = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: Token };
  const client = ecrClient(factory.clouds, credentials);
  const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}));
  return `Basic ${authorizationData?.[0]?.authorizationToken}`;
}
