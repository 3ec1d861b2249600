import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import {
  authorizationOf,
  awsUser,
  type BrokeredFactory,
  pull,
  startBrokeredFactory,
} from "../../support/broker/brokered-factory.js";
import { watched } from "../../support/leak-watch.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";

// A checkout of github.com/foundriesio/ci-scripts. It reads /secrets and nothing else, so it runs in a mount namespace.
const checkout = process.env.FACTORY_SECRETS_TEST_CI_SCRIPTS;
const isRoot = process.getuid?.() === 0;
const skipped = checkout === undefined || !isRoot;
const reason = skipped ? " (skipped: FACTORY_SECRETS_TEST_CI_SCRIPTS names no checkout, or this is not root)" : "";

const Calls = z.array(z.object({ args: z.array(z.string()), file: z.string() }));
/** What the unmodified `apps/login_registries` (commit 2a2c310) had docker do with such a folder, call by call. */
const recorded = Calls.parse(
  JSON.parse(readFileSync(new URL("../../fixtures/ci-scripts/login-registries.json", import.meta.url), "utf8")),
);

const tenantId = "11111111-2222-3333-4444-555555555555";
const clientId = "66666666-7777-8888-9999-000000000000";
const clientSecret = watched("not-a-real-secret-ci-scripts-azure-7731");
const first = awsUser("7EXAMPLE");
const second = awsUser("8EXAMPLE");
const acr = "example.azurecr.io";
const gar = "us-docker.pkg.dev";
const passedHost = "passed.example.test";
// Handed out as it is: not for the leak watch.
const passedOn = "not-a-real-secret-ci-scripts-passed-on";
const config = `container_registries:
- type: aws
  region: us-east-2
  url: 123456789012.dkr.ecr.us-east-2.amazonaws.com
  aws_creds_secret_name: aws_creds
- type: aws
  region: us-east-2
  url: 210987654321.dkr.ecr.us-east-2.amazonaws.com
  aws_creds_secret_name: more_aws_creds
- type: azure
  url: ${acr}
  azure_principal_secret_name: azprincipal
- type: gar
  hosts: [${gar}]
  gar_creds_secret_name: gcp_creds
- type: generic
  url: ${passedHost}
  generic_secret_name: passed_creds
  passThrough: true
`;

let broker: BrokeredFactory;
let machine: JobMachine;
let secrets: string;
beforeAll(async () => {
  let googleFile = "";
  broker = await startBrokeredFactory(
    ({ aws, azure, google, docker }) => {
      aws.iam.addUser({ accountId: "123456789012", userName: "first", ...first });
      aws.iam.addUser({ accountId: "210987654321", userName: "second", ...second });
      aws.addRegistry("123456789012", "us-east-2");
      aws.addRegistry("210987654321", "us-east-2");
      const { host } = azure.addRegistry("example");
      const rights = { [host]: { "team/app": ["pull"] } } as const;
      azure.directory.addServicePrincipal({ tenantId, clientId, clientSecret, rights });
      googleFile = google.addServiceAccount({ name: "puller", readable: [`${gar}/project/repo/`] }).credentialsJson;
      google.addRegistry(gar);
      const users = { ci: { password: passedOn, rights: { "team/app": ["pull"] } } } as const;
      docker.addRegistry({ host: passedHost, auth: "basic", users });
    },
    { FACTORY_SECRETS_PASS_THROUGH_HOSTS: passedHost },
  );
  await broker.putSecret("aws_creds", `[default]\n${first.section}`);
  await broker.putSecret("more_aws_creds", `[default]\n${second.section}`);
  await broker.putSecret("azprincipal", JSON.stringify({ appId: clientId, password: clientSecret, tenant: tenantId }));
  await broker.putSecret("gcp_creds", googleFile);
  await broker.putSecret("passed_creds", `ci:${passedOn}`);
  await broker.putConfig(config);
  machine = openJobMachine({
    FACTORY_SECRETS_URL: broker.service.url,
    FACTORY_SECRETS_FACTORY: broker.factory.name,
    FACTORY_SECRETS_TOKEN: (await broker.openJob()).token,
  });
  secrets = join(machine.home, "secrets");
  expect(await machine.run(["ci", "materialize", "--dir", secrets])).toMatchObject({
    exitCode: 0,
    stderr: expect.stringMatching(/^Written to .*\n$/),
  });
});
afterAll(async () => {
  machine.close();
  await broker.close();
});

const contentOf = (name: string): string => readFileSync(join(secrets, name), "utf8");

describe("a folder that ci materialize has written", () => {
  const Registries = z.array(
    z.object({ type: z.literal("generic"), url: z.string(), generic_secret_name: z.string() }),
  );

  test("is one that ci-scripts logs in with: two of AWS, one of Azure, of Google, and one passed on", () => {
    const registries = Registries.parse(JSON.parse(contentOf("container-registries")));
    const calls = registries.map(({ url, generic_secret_name: file }) => {
      const [user, ...password] = contentOf(file).split(":");
      expect(password.length).toBe(1);
      return { args: ["login", "--password-stdin", "-u", user, url], file };
    });
    expect(calls).toEqual(recorded);
  });

  test("pulls from each of them", async () => {
    for (const { args, file } of recorded) {
      const host = args[4] ?? "";
      const [username = "", password = ""] = contentOf(file).split(":");
      const repository = host === gar ? "project/repo/app" : "team/app";
      const basic = authorizationOf({ username, password });
      const authorization = host === acr ? await bearerFor(repository, basic) : basic;
      expect([host, await pull(broker.clouds, host, repository, authorization)]).toEqual([host, 200]);
    }
  });
});

/** As docker does with the password of an Azure registry: it is exchanged at the realm. */
async function bearerFor(repository: string, authorization: string): Promise<string> {
  const path = `/oauth2/token?service=${acr}&scope=repository:${repository}:pull`;
  const { body } = await broker.clouds.request({ host: acr, path, headers: { authorization } });
  return authorizationOf({ bearer: z.object({ access_token: z.string() }).parse(JSON.parse(body)).access_token });
}

describe.skipIf(skipped)(`the unmodified apps/login_registries of ci-scripts${reason}`, () => {
  test("has docker log in to each registry with its token, in one run", async () => {
    const bin = join(machine.home, "bin");
    mkdirSync(bin);
    const calls = join(machine.home, "calls");
    writeFileSync(
      join(bin, "docker"),
      `#!/bin/sh\nfor a in "$@"; do printf '%s\\t' "$a"; done >>'${calls}'\nsha256sum | cut -d' ' -f1 >>'${calls}'\n`,
    );
    chmodSync(join(bin, "docker"), 0o755);
    const script = `mkdir -p /secrets && mount --bind '${secrets}' /secrets && exec '${checkout}/apps/login_registries' /secrets/container-registries`;
    const environment = { HOME: machine.home, PATH: `${bin}:${process.env.PATH}`, PYTHONPATH: checkout ?? "" };
    const child = spawn("unshare", ["--mount", "sh", "-c", script], { env: environment, stdio: "inherit" });
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0);
    const seen = readFileSync(calls, "utf8").trim().split("\n");
    const digestOf = async (text: string) =>
      Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(text))).toString("hex");
    const expected = await Promise.all(
      recorded.map(async ({ args, file }) => [...args, await digestOf(contentOf(file).split(":")[1] ?? "")].join("\t")),
    );
    expect(seen).toEqual(expected);
  });
});
