import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AwsFactory, host, region, startAwsFactory } from "../../support/aws/aws-factory.js";
import { pull } from "../../support/broker/brokered-factory.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";
import { environmentOf, type Job } from "./aws-jobs.js";
import {
  awsCli,
  basicOf,
  botocoreFindsCredentials,
  python,
  runAws,
  runBotocore,
  withoutCli,
  withoutPython,
} from "./run-aws-programs.js";

let factory: AwsFactory;
let job: Job;
let machine: JobMachine;
beforeAll(async () => {
  factory = await startAwsFactory();
});
afterAll(() => factory?.close());
beforeEach(async () => {
  job = await factory.openJob({ grants: [{ registry: host, repositories: ["team/app"] }] });
  machine = openJobMachine({});
});
afterEach(() => machine.close());

/** What `registry-tokens` gives to the job in a format for AWS programs. */
async function awsFiles(format: string) {
  const { body } = await factory.ask(job.token, { registry: host, format });
  return body;
}

/** Puts a file below ~/.aws. */
function putAwsFile(name: string, text: string): void {
  mkdirSync(join(machine.home, ".aws"), { recursive: true });
  writeFileSync(join(machine.home, ".aws", name), text);
}

/** What the registry answers to a pull with this password: of a repository of the job's, and of another. */
const pulls = async (password: string): Promise<number[]> => [
  await pull(factory.clouds, host, "team/app", basicOf(password.trim())),
  await pull(factory.clouds, host, "team/other", basicOf(password.trim())),
];

describe.skipIf(awsCli === undefined)(`the AWS CLI${withoutCli}`, () => {
  test("gets the brokered password with the two files of aws-config, and leaves other services where they are", async () => {
    const { configFile, credentialsFile } = await awsFiles("aws-config");
    putAwsFile("config", configFile);
    putAwsFile("credentials", credentialsFile);
    const { exitCode, stdout } = await runAws(["ecr", "get-login-password"], machine);
    expect(exitCode).toBe(0);
    expect(await pulls(stdout)).toEqual([200, 403]);
  });

  test("gets it with a credentials file alone, as ci-scripts runs it, and prints why it gets nothing else", async () => {
    putAwsFile("credentials", (await awsFiles("aws-credentials-file")).credentialsFile);
    const got = await runAws(["ecr", "get-login-password", "--region", region], machine);
    expect(await pulls(got.stdout)).toEqual([200, 403]);
    const refused = await runAws(["s3", "ls", "--region", region], machine);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain("(AccessDenied) when calling the ListBuckets operation: This is factory-secrets");
  });
});

describe.skipIf(python === undefined)(`botocore${withoutPython}`, () => {
  const token = { service: "ecr", operation: "get_authorization_token", region };

  test("prints why not: another region, another operation", async () => {
    const calls = [
      { ...token, region: "eu-west-1" },
      { ...token, operation: "describe_repositories" },
    ];
    const [region, operation] = await runBotocore(calls, machine, await environmentOf(factory, job));
    expect(region?.error).toContain("Credential should be scoped to the region us-east-2");
    expect(operation?.error).toContain("Of Amazon ECR factory-secrets answers GetAuthorizationToken only");
  });

  test("prints our sentence for every protocol that AWS speaks, when all of it is led here", async () => {
    putAwsFile("credentials", (await awsFiles("aws-credentials-file")).credentialsFile);
    const others = [
      ["sts", "get_caller_identity"],
      ["ec2", "describe_instances"],
      ["s3", "list_buckets"],
      ["cloudfront", "list_distributions"],
      ["dynamodb", "list_tables"],
      ["secretsmanager", "list_secrets"],
      ["lambda", "list_functions"],
      ["cloudwatch", "list_metrics"],
      ["sqs", "list_queues"],
    ].map(([service, operation]) => ({ service, operation, region }));
    for (const [at, { error }] of (await runBotocore(others, machine)).entries()) {
      expect([others[at]?.service, error]).toEqual([
        others[at]?.service,
        expect.stringMatching(/An error occurred \(AccessDenied(Exception)?\) .*This is factory-secrets, not AWS/),
      ]);
    }
  });

  test("finds narrowed credentials at the container's endpoint, by the token and by a file that holds it", async () => {
    const uri = `${factory.service.url}/v1/factories/${factory.factory.name}/aws-credentials`;
    const tokenFile = join(machine.home, "token");
    writeFileSync(tokenFile, job.token);
    const found = { ok: { accessKeyId: expect.stringMatching(/^ASIA/), sessionToken: expect.any(String) } };
    for (const authorization of [
      { AWS_CONTAINER_AUTHORIZATION_TOKEN: job.token },
      { AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile },
    ]) {
      const environment = { AWS_CONTAINER_CREDENTIALS_FULL_URI: uri, ...authorization };
      expect(await runBotocore([{ credentials: true }], machine, environment)).toMatchObject([found]);
    }
  });

  test("finds them at what ci serve-credentials serves, before all others", async () => {
    putAwsFile("credentials", "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wrong\n");
    const { stdout, exitCode } = await machine.run(["ci", "serve-credentials", "--", ...botocoreFindsCredentials()], {
      environment: {
        FACTORY_SECRETS_URL: factory.service.url,
        FACTORY_SECRETS_FACTORY: factory.factory.name,
        FACTORY_SECRETS_TOKEN: job.token,
        AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY: "wrong",
      },
    });
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ ok: { accessKeyId: expect.stringMatching(/^ASIA/) } }]);
  });
});

describe("the AWS SDK for JavaScript", () => {
  test("sets its clock by ours when it is wrong", async () => {
    const keys = await factory.keysOf(job);
    const late = new ECRClient({
      region,
      credentials: keys,
      endpoint: keys.endpointUrl,
      maxAttempts: 2,
      systemClockOffset: -3_600_000,
    });
    expect((await late.send(new GetAuthorizationTokenCommand({}))).authorizationData).toHaveLength(1);
  });
});
