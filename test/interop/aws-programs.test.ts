import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AwsFactory, host, otherHost, region, startAwsFactory, storedValues } from "../aws/aws-factory.js";
import { pull } from "../broker/brokered-factory.js";
import { type JobMachine, openJobMachine } from "../cli/ci/job-machine.js";
import { makeDevice, makeRoot } from "../devices/device-certificates.js";
import { makeServerFiles, register } from "../devices/device-service.js";
import { type ProgramResult, runProgram } from "../support/programs/run-to-end.js";
import { startConnectProxy } from "../support/registry/connect-proxy.js";

const awsCli = process.env.FACTORY_SECRETS_TEST_AWS_CLI;
const python = process.env.FACTORY_SECRETS_TEST_AWS_PYTHON;
const withoutCli = awsCli === undefined ? " (skipped: FACTORY_SECRETS_TEST_AWS_CLI does not name aws)" : "";
const withoutPython =
  python === undefined
    ? " (skipped: FACTORY_SECRETS_TEST_AWS_PYTHON does not name a python with botocore and awscrt)"
    : "";
const scripts = fileURLToPath(new URL(".", import.meta.url));

type Job = { id: string; token: string };
type Variable = { name: string; value: string };
type Outcome = { ok?: Record<string, string>; error?: string };

let factory: AwsFactory;
let job: Job;
let machine: JobMachine;
beforeAll(async () => {
  factory = await startAwsFactory();
}, 60_000);
afterAll(() => factory?.close());
beforeEach(async () => {
  job = await factory.openJob({ grants: [{ registry: host, repositories: ["team/app"] }] });
  machine = openJobMachine({ AWS_EC2_METADATA_DISABLED: "true" });
});
afterEach(() => {
  // Nothing of what is stored is anywhere on the job's side.
  const side = [JSON.stringify(machine.environment), ...machine.texts()].join("\n");
  for (const value of storedValues) expect(side).not.toContain(value);
  machine.close();
});

/** What `registry-tokens` gives to a job in a format for AWS programs. */
async function awsFiles(format: string, of: Job = job) {
  const { body } = await factory.ask(of.token, { registry: host, format });
  return body;
}

async function environmentOf(of: Job = job): Promise<Record<string, string>> {
  const variables: Variable[] = (await awsFiles("aws-config", of)).environment;
  return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
}

/** Puts a file below ~/.aws. */
function putAwsFile(name: string, text: string): void {
  mkdirSync(join(machine.home, ".aws"), { recursive: true });
  writeFileSync(join(machine.home, ".aws", name), text);
}

const getLoginPassword = ["ecr", "get-login-password", "--region", region];

const basic = (password: string): string => `Basic ${Buffer.from(`AWS:${password.trim()}`).toString("base64")}`;

/** What the registry answers to a pull with this authorization: of a repository of the job's, and of another. */
const pulls = async (authorization: string): Promise<number[]> => [
  await pull(factory.clouds, host, "team/app", authorization),
  await pull(factory.clouds, host, "team/other", authorization),
];

/** A port of this machine where nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

describe.skipIf(awsCli === undefined)(`the AWS CLI${withoutCli}`, () => {
  const aws = (args: readonly string[], environment: Record<string, string> = {}): Promise<ProgramResult> =>
    runProgram(awsCli ?? "", args, { ...machine.environment, ...environment });

  test("gets the brokered password with the environment variables of aws-config", async () => {
    const { exitCode, stdout, stderr } = await aws(getLoginPassword, await environmentOf());
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(await pulls(basic(stdout))).toEqual([200, 403]);
  }, 30_000);

  test("gets it with the two files of aws-config, and leaves other services where they are", async () => {
    const { configFile, credentialsFile } = await awsFiles("aws-config");
    putAwsFile("config", configFile);
    putAwsFile("credentials", credentialsFile);
    const { exitCode, stdout } = await aws(["ecr", "get-login-password"]);
    expect(exitCode).toBe(0);
    expect(await pulls(basic(stdout))).toEqual([200, 403]);
  }, 30_000);

  test("gets it with a credentials file alone, as ci-scripts runs it, and prints why it gets nothing else", async () => {
    putAwsFile("credentials", (await awsFiles("aws-credentials-file")).credentialsFile);
    expect(await pulls(basic((await aws(getLoginPassword)).stdout))).toEqual([200, 403]);
    const refused = await aws(["s3", "ls", "--region", region]);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain("(AccessDenied) when calling the ListBuckets operation: This is factory-secrets");
  }, 30_000);

  test("prints our sentence when the job has ended", async () => {
    const environment = await environmentOf();
    const path = `/v1/factories/${factory.factory.name}/jobs/${job.id}`;
    await factory.service.as(factory.service.operatorToken).delete(path).expect(204);
    const { exitCode, stderr } = await aws(getLoginPassword, environment);
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain("(UnrecognizedClientException)");
    expect(stderr).toContain("their job has ended or expired");
  }, 30_000);
});

describe.skipIf(python === undefined)(`botocore${withoutPython}`, () => {
  async function calls(wanted: readonly object[], environment: Record<string, string>): Promise<Outcome[]> {
    const script = join(scripts, "botocore-calls.py");
    const args = [script, JSON.stringify(wanted)];
    const { stdout, stderr } = await runProgram(python ?? "", args, { ...machine.environment, ...environment });
    if (stdout === "") throw new Error(stderr);
    return JSON.parse(stdout);
  }
  const token = { service: "ecr", operation: "get_authorization_token", region };

  test("gets the brokered token", async () => {
    const [outcome] = await calls([token], await environmentOf());
    const [data] = Object(outcome?.ok).authorizationData;
    expect(data).toMatchObject({ proxyEndpoint: `https://${host}`, expiresAt: expect.any(String) });
    expect(await pulls(`Basic ${data.authorizationToken}`)).toEqual([200, 403]);
  }, 30_000);

  test("prints why not: another factory, another region, another operation, an expired job", async () => {
    const environment = await environmentOf();
    const other = { AWS_ENDPOINT_URL_ECR: `${factory.service.url}/aws/ecr/another-factory` };
    const [elsewhere] = await calls([token], { ...environment, ...other });
    expect(elsewhere?.error).toContain("These keys are not valid");
    const [region, operation] = await calls(
      [
        { ...token, region: "eu-west-1" },
        { ...token, operation: "describe_repositories" },
      ],
      environment,
    );
    expect(region?.error).toContain("Credential should be scoped to the region us-east-2");
    expect(operation?.error).toContain("Of Amazon ECR factory-secrets answers GetAuthorizationToken only");
    const { pool } = factory.service.database;
    await pool.query("UPDATE credentials SET expires_at = now() WHERE id = $1", [job.id]);
    await pool.query("UPDATE factories SET generation = generation + 1 WHERE id = $1", [factory.factory.id]);
    const [expired] = await calls([token], environment);
    expect(expired?.error).toContain("their job has ended or expired");
  }, 60_000);

  test("says that it cannot connect when the service is down, and waits for one that is slow", async () => {
    const fresh = await factory.openJob({ grants: [{ registry: host, repositories: ["team/slow"] }] });
    const environment = await environmentOf(fresh);
    const down = { ...environment, AWS_ENDPOINT_URL_ECR: `http://127.0.0.1:${await deadPort()}/aws/ecr/x` };
    expect((await calls([token], down))[0]?.error).toContain("Could not connect to the endpoint URL");
    const hold = factory.clouds.aws.sts.hold();
    factory.clouds.aws.sts.forget();
    const slow = calls([token], environment);
    await factory.clouds.aws.sts.received(1);
    hold.release();
    expect(await slow).toMatchObject([{ ok: { authorizationData: [{ proxyEndpoint: `https://${host}` }] } }]);
  }, 60_000);

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
    for (const [at, { error }] of (await calls(others, {})).entries()) {
      expect([others[at]?.service, error]).toEqual([
        others[at]?.service,
        expect.stringMatching(/An error occurred \(AccessDenied(Exception)?\) .*This is factory-secrets, not AWS/),
      ]);
    }
  }, 60_000);

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
      expect(await calls([{ credentials: true }], environment)).toMatchObject([found]);
    }
    const wrong = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${uri}?registry=${otherHost}`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: job.token,
    };
    const [refused] = await calls([{ credentials: true }], wrong);
    expect(refused?.error).toContain("This job was opened for less");
  }, 60_000);

  test("finds them at what ci serve-credentials serves, before all others", async () => {
    putAwsFile("credentials", "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wrong\n");
    const script = join(scripts, "botocore-calls.py");
    const call = [python ?? "", script, JSON.stringify([{ credentials: true }])];
    const { stdout, exitCode } = await machine.run(["ci", "serve-credentials", "--", ...call], {
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
  }, 30_000);
});

describe("the AWS SDK for JavaScript", () => {
  const client = (credentials: { accessKeyId: string; secretAccessKey: string }, endpoint: string) =>
    new ECRClient({ region, credentials, endpoint, maxAttempts: 1 });

  test("gets the brokered token, and throws our sentence when it does not", async () => {
    const keys = await factory.keysOf(job);
    const { authorizationData } = await client(keys, keys.endpointUrl).send(new GetAuthorizationTokenCommand({}));
    expect(authorizationData).toMatchObject([{ proxyEndpoint: `https://${host}`, expiresAt: expect.any(Date) }]);
    expect(await pulls(`Basic ${authorizationData?.[0]?.authorizationToken}`)).toEqual([200, 403]);
    const wrong = client({ ...keys, secretAccessKey: "wrong" }, keys.endpointUrl).send(
      new GetAuthorizationTokenCommand({}),
    );
    await expect(wrong).rejects.toMatchObject({
      name: "UnrecognizedClientException",
      message: expect.stringContaining("These keys are not valid"),
    });
  });

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

describe.skipIf(python === undefined)(`awscrt, the client of AWS IoT devices${withoutPython}`, () => {
  let files: Awaited<ReturnType<typeof makeServerFiles>>;
  let own: AwsFactory;
  beforeAll(async () => {
    files = await makeServerFiles();
    own = await startAwsFactory(files.environment);
  }, 60_000);
  afterAll(async () => {
    await own?.close();
    await files?.remove();
  });

  test("fetches credentials with a device's certificate, and none with a stranger's or for another alias", async () => {
    const root = await makeRoot();
    const roleAliases = [{ alias: "ecr-pull", registry: host }];
    const grants = [{ registry: host, repositories: ["team/app"], actions: ["pull" as const] }];
    await register(own.service, own.factory, { certificates: [root], policy: { grants, roleAliases } });
    const device = await makeDevice(root, own.factory.name);
    const stranger = await makeDevice(await makeRoot(), own.factory.name);
    const proxy = await startConnectProxy({ "127.0.0.1": Number(new URL(own.service.deviceUrl).port) });
    const authority = join(machine.home, "ca.pem");
    writeFileSync(authority, files.caPem);
    const fetchAs = async (who: typeof device, roleAlias: string, thingName = who.id): Promise<Outcome> => {
      const [certificate, key] = [join(machine.home, "device.pem"), join(machine.home, "device.key")];
      writeFileSync(certificate, who.pem);
      writeFileSync(key, who.keyPem);
      const proxyPort = Number(new URL(proxy.url).port);
      const wanted = { endpoint: "127.0.0.1", thingName, roleAlias, certificate, key, authority, proxyPort };
      const args = [join(scripts, "iot-credentials.py"), JSON.stringify(wanted)];
      const { stdout, stderr } = await runProgram(python ?? "", args, machine.environment);
      if (stdout === "") throw new Error(stderr);
      return JSON.parse(stdout);
    };
    expect(await fetchAs(device, "ecr-pull")).toMatchObject({
      ok: { accessKeyId: expect.stringMatching(/^ASIA/), sessionToken: expect.any(String) },
    });
    for (const refused of [
      await fetchAs(stranger, "ecr-pull"),
      await fetchAs(device, "another-alias"),
      await fetchAs(device, "ecr-pull", "another-thing"),
    ]) {
      expect(refused.error).toContain("AWS_AUTH_CREDENTIALS_PROVIDER");
    }
    await proxy.close();
  }, 120_000);
});
