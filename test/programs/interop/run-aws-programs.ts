import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { region } from "../../support/aws/aws-factory.js";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";
import type { JobMachine } from "../cli/job/job-machine.js";

export const awsCli = process.env.FACTORY_SECRETS_TEST_AWS_CLI;
export const python = process.env.FACTORY_SECRETS_TEST_AWS_PYTHON;
export const withoutCli = awsCli === undefined ? " (skipped: FACTORY_SECRETS_TEST_AWS_CLI does not name aws)" : "";
export const withoutPython =
  python === undefined
    ? " (skipped: FACTORY_SECRETS_TEST_AWS_PYTHON does not name a python with botocore and awscrt)"
    : "";

/** What a program came back with, and what a person reads. */
export type AwsOutcome = { authorization?: string; said: string };

/** A program that speaks to AWS, unmodified. */
export type AwsProgram = {
  name: string;
  isMissing: boolean;
  /** Asks Amazon ECR for a token, once, and waits so long for the answer. `environment` comes beside its machine's own. */
  askEcr(machine: JobMachine, environment?: Record<string, string>, patienceSeconds?: number): Promise<AwsOutcome>;
  /** Its own words, where nobody answers; and of a container's endpoint that refuses, where it passes over the answer. */
  words: { down: string; slow: string; noCredentials?: string };
};

const scripts = fileURLToPath(new URL(".", import.meta.url));
const defaultPatienceSeconds = 20;
/** No program looks for a cloud's machine, or tries again. */
const always = { AWS_EC2_METADATA_DISABLED: "true", AWS_MAX_ATTEMPTS: "1" };

const start = (
  [program = "", ...args]: readonly string[],
  machine: JobMachine,
  environment: Record<string, string>,
): Promise<ProgramResult> => runProgram(program, args, { ...machine.environment, ...always, ...environment });

/** `aws ARGUMENTS...` */
export const runAws = (args: readonly string[], machine: JobMachine, environment: Record<string, string> = {}) =>
  start([awsCli ?? "", ...args], machine, environment);

const Outcome = z.object({ ok: z.unknown().optional(), error: z.string().optional() });
export type CallOutcome = z.output<typeof Outcome>;

/** Makes the calls of botocore-calls.py, one after the other. */
export async function runBotocore(
  calls: readonly object[],
  machine: JobMachine,
  environment: Record<string, string> = {},
): Promise<CallOutcome[]> {
  const command = [python ?? "", join(scripts, "botocore-calls.py"), JSON.stringify(calls)];
  return z.array(Outcome).parse(outputOf(await start(command, machine, environment)));
}

/** The command line that has botocore find credentials, for something that runs it. */
export const botocoreFindsCredentials = (): string[] => [
  python ?? "",
  join(scripts, "botocore-calls.py"),
  JSON.stringify([{ credentials: true }]),
];

async function runSdk(
  wanted: { patienceSeconds: number },
  machine: JobMachine,
  environment: Record<string, string> = {},
): Promise<CallOutcome> {
  const command = [process.execPath, "--no-warnings", join(scripts, "sdk-calls.mjs"), JSON.stringify(wanted)];
  return Outcome.parse(outputOf(await start(command, machine, { AWS_REGION: region, ...environment })));
}

function outputOf({ stdout, stderr }: ProgramResult): unknown {
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

const Authorization = z.object({ authorizationData: z.tuple([z.object({ authorizationToken: z.string() })]) });

function tokenOf({ ok, error = "" }: CallOutcome): AwsOutcome {
  if (ok === undefined) return { said: error };
  return { authorization: `Basic ${Authorization.parse(ok).authorizationData[0].authorizationToken}`, said: error };
}

const cli: AwsProgram = {
  name: `the AWS CLI${withoutCli}`,
  isMissing: awsCli === undefined,
  async askEcr(machine, environment, patienceSeconds = defaultPatienceSeconds) {
    const timeouts = ["--cli-read-timeout", String(patienceSeconds), "--cli-connect-timeout", "2"];
    const args = ["ecr", "get-login-password", "--region", region, ...timeouts];
    const { exitCode, stdout, stderr } = await runAws(args, machine, environment);
    if (exitCode !== 0) return { said: stderr };
    return { authorization: basicOf(stdout.trim()), said: stderr };
  },
  words: { down: "Could not connect to the endpoint URL", slow: "Read timeout on endpoint URL" },
};

const botocore: AwsProgram = {
  name: `botocore${withoutPython}`,
  isMissing: python === undefined,
  async askEcr(machine, environment, patienceSeconds = defaultPatienceSeconds) {
    const call = { service: "ecr", operation: "get_authorization_token", region, patienceSeconds };
    const [outcome = {}] = await runBotocore([call], machine, environment);
    return tokenOf(outcome);
  },
  words: { down: "Could not connect to the endpoint URL", slow: "Read timeout on endpoint URL" },
};

const sdk: AwsProgram = {
  name: "the AWS SDK for JavaScript",
  isMissing: false,
  askEcr: async (machine, environment, patienceSeconds = defaultPatienceSeconds) =>
    tokenOf(await runSdk({ patienceSeconds }, machine, environment)),
  words: {
    down: "ECONNREFUSED",
    slow: "TimeoutError",
    noCredentials: "CredentialsProviderError: Could not load credentials from any providers",
  },
};

export const awsPrograms: readonly AwsProgram[] = [cli, botocore, sdk];

/** What a registry is sent that Amazon ECR gave this password for. */
export const basicOf = (password: string): string => `Basic ${Buffer.from(`AWS:${password}`).toString("base64")}`;
