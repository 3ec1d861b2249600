import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AwsFactory, host, otherHost, startAwsFactory } from "../../support/aws/aws-factory.js";
import { pull } from "../../support/broker/brokered-factory.js";
import { whileAnswering } from "../../support/cli/stand-in-service.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";
import { deadPort, endJob, environmentOf, expireJob, type Job, narrowJob } from "./aws-jobs.js";
import { type AwsOutcome, type AwsProgram, awsPrograms } from "./run-aws-programs.js";

const grants = [{ registry: host, repositories: ["team/app"] }];

let factory: AwsFactory;
let job: Job;
let machine: JobMachine;
beforeAll(async () => {
  factory = await startAwsFactory();
});
afterAll(() => factory?.close());
beforeEach(async () => {
  job = await factory.openJob({ grants });
  machine = openJobMachine({});
});
afterEach(() => machine.close());

/** What the registry answers to a pull: of the job's repository, and of another. */
const pulls = async (authorization: string): Promise<number[]> => [
  await pull(factory.clouds, host, "team/app", authorization),
  await pull(factory.clouds, host, "team/other", authorization),
];

/** A factory of somebody else, with the same registry and a job that has keys. */
async function keysOfAnotherFactory(): Promise<Record<string, string>> {
  const { service } = factory;
  const { name } = await service.createFactory();
  const operator = service.as(service.operatorToken);
  await operator.put(`/v1/factories/${name}/secrets/aws_creds`).send({ value: "x" }).expect(201);
  const document = `- type: aws\n  region: us-east-2\n  url: ${host}\n  aws_creds_secret_name: aws_creds\n`;
  const put = operator.put(`/v1/factories/${name}/config`).set("Content-Type", "application/yaml");
  await put.send(document).expect(201);
  const other = await service.openJob(name);
  const path = `/v1/factories/${name}/jobs/${other.id}:aws-keys`;
  const { body } = await service.as(other.token).post(path).send({ registry: host }).expect(200);
  return { AWS_ACCESS_KEY_ID: body.accessKeyId, AWS_SECRET_ACCESS_KEY: body.secretAccessKey };
}

type Situation = [what: string, prepare: () => Promise<Record<string, string>>, sentence: RegExp];

const refusals: Situation[] = [
  [
    "the keys of another job with the secret of this",
    async () => {
      const { AWS_ACCESS_KEY_ID = "" } = await environmentOf(factory, await factory.openJob({ grants }));
      return { ...(await environmentOf(factory, job)), AWS_ACCESS_KEY_ID };
    },
    /UnrecognizedClientException.*These keys are not valid/s,
  ],
  [
    "the keys of a job of another factory",
    async () => ({ ...(await environmentOf(factory, job)), ...(await keysOfAnotherFactory()) }),
    /UnrecognizedClientException.*These keys are not valid/s,
  ],
  [
    "a job that has ended",
    async () => {
      const environment = await environmentOf(factory, job);
      await endJob(factory, job);
      return environment;
    },
    /UnrecognizedClientException.*their job has ended or expired/s,
  ],
  [
    "a job that has expired",
    async () => {
      const environment = await environmentOf(factory, job);
      await expireJob(factory, job);
      return environment;
    },
    /UnrecognizedClientException.*their job has ended or expired/s,
  ],
  [
    "a job that is for another registry by now",
    async () => {
      const environment = await environmentOf(factory, job);
      await narrowJob(factory, job, otherHost);
      return environment;
    },
    /AccessDeniedException.*This job was opened for less/s,
  ],
];

/** The same for AWS's own credentials, which a program finds at a container's endpoint. */
const credentialRefusals: Situation[] = [
  [
    "a job that has ended",
    async () => {
      await endJob(factory, job);
      return containerOf(host);
    },
    /401.*This token is not valid/,
  ],
  ["another registry than the job's", async () => containerOf(otherHost), /403.*This job was opened for less/],
];

function containerOf(registry: string): Record<string, string> {
  const path = `/v1/factories/${factory.factory.name}/aws-credentials?registry=${registry}`;
  return {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${factory.service.url}${path}`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: job.token,
  };
}

const present = awsPrograms.filter(({ isMissing }) => !isMissing);

/** What all programs come back with, that start together. */
const askAll = (environment: Record<string, string>, patienceSeconds?: number): Promise<AwsOutcome[]> =>
  Promise.all(present.map((program) => program.askEcr(machine, environment, patienceSeconds)));

describe(`unmodified programs that speak to AWS (${present.map(({ name }) => name).join(", ")})`, () => {
  // One by one, so that a program that is not here is counted as skipped.
  for (const program of awsPrograms) {
    test.skipIf(program.isMissing)(
      `${program.name} gets a token for the job's repositories, until it has expired`,
      async () => {
        const { authorization = "", said } = await program.askEcr(machine, await environmentOf(factory, job));
        expect(said).toBe("");
        expect(await pulls(authorization)).toEqual([200, 403]);
        const day = 86_400;
        factory.clouds.clock.advance(day);
        expect(await pulls(authorization)).toEqual([403, 403]);
        factory.clouds.clock.advance(-day);
      },
      60_000,
    );
  }

  test.each(refusals)(
    "print our sentence: %s",
    async (_, prepare, sentence) => {
      const outcomes = await askAll(await prepare());
      expect(outcomes).toEqual(present.map(() => ({ said: expect.stringMatching(sentence) })));
    },
    60_000,
  );

  test.each(credentialRefusals)(
    "find no credentials, and print why unless they pass over it: %s",
    async (_, prepare, sentence) => {
      const outcomes = await askAll(await prepare());
      const saying = ({ words }: AwsProgram) => ({ said: words.noCredentials ?? expect.stringMatching(sentence) });
      expect(outcomes).toEqual(present.map(saying));
    },
    60_000,
  );

  test("say themselves that the service is down, and that it is too slow for them", async () => {
    const environment = await environmentOf(factory, job);
    const at = (url: string) => ({ ...environment, AWS_ENDPOINT_URL_ECR: `${url}/aws/ecr/${factory.factory.name}` });
    const down = await askAll(at(`http://127.0.0.1:${await deadPort()}`));
    const slow = await whileAnswering(
      () => undefined,
      (url) => askAll(at(url), 1),
    );
    const saying = (word: "down" | "slow") => (program: AwsProgram) => ({
      said: expect.stringContaining(program.words[word]),
    });
    expect(down).toEqual(present.map(saying("down")));
    expect(slow).toEqual(present.map(saying("slow")));
  });

  test("wait for a service that is slow because its cloud is, and print our sentence when the cloud is down", async () => {
    const { sts } = factory.clouds.aws;
    const openJob = (repository: string) =>
      factory.openJob({ grants: [{ registry: host, repositories: [repository] }] });
    sts.forget();
    const hold = sts.hold();
    const slow = askAll(await environmentOf(factory, await openJob("team/slow")));
    await sts.received(1);
    hold.release();
    expect(await slow).toEqual(present.map(() => ({ authorization: expect.any(String), said: "" })));
    sts.fail("server-error");
    const down = await askAll(await environmentOf(factory, await openJob("team/down")));
    sts.heal();
    expect(down).toEqual(
      present.map(() => ({ said: expect.stringMatching(/ServerException.*(AWS STS|sts\.\S+) failed/s) })),
    );
  });
});
