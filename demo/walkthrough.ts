import { z } from "zod";
import type { StandInClouds } from "../test/support/clouds/start-stand-in-clouds.js";
import { type Api, expectStatus } from "./api-client.js";
import { type Screen, shorten } from "./show-step.js";
import { allowedRepository, aws, azure, otherRepository } from "./stand-in-accounts.js";
import type { Fioctl } from "./update-secret.js";

export type Stage = { api: Api; clouds: StandInClouds; fioctl: Fioctl; operatorToken: string; screen: Screen };

type Job = { id: string; token: string };

const factory = "acme";
const base = `/v1/factories/${factory}`;
const header = `-H "OSF-TOKEN: $FACTORY_SECRETS_TOKEN"`;
const isJson = "-H 'Content-Type: application/json'";

const CreatedJob = z.object({ id: z.string(), token: z.string() });
const DockerAuth = z.union([z.object({ auth: z.string() }), z.object({ registrytoken: z.string() })]);
const DockerConfig = z.object({ auths: z.record(z.string(), DockerAuth) });
const AuditPage = z.object({
  items: z.array(
    z.object({
      at: z.string(),
      action: z.string(),
      outcome: z.string(),
      actor: z.object({ kind: z.string(), name: z.string() }),
      secret: z.string().optional(),
      registry: z.string().optional(),
      repositories: z.array(z.string()).optional(),
      cached: z.boolean().optional(),
    }),
  ),
});

/** Plays the page "Using Third-Party Private Container Registries", its AWS part and its Azure part. */
export async function playWalkthrough(stage: Stage): Promise<void> {
  const { api, operatorToken, screen } = stage;
  screen.chapter("A factory");
  screen.step(
    "Create a factory",
    `curl -sS "$FACTORY_SECRETS_URL/v1/factories" ${header} ${isJson} -d '{"name":"${factory}"}'`,
  );
  expectStatus(await api(operatorToken, "/v1/factories", { body: { name: factory } }), 201);
  screen.result(`201, the factory "${factory}"`);
  const awsJob = await playAws(stage);
  const azureJob = await playAzure(stage);
  await endJob(stage, awsJob);
  await endJob(stage, azureJob);
  await showAudit(stage);
}

async function playAws(stage: Stage): Promise<Job> {
  const { clouds, screen } = stage;
  screen.chapter("Configuring CI for AWS ECR");
  await storeSecret(stage, "aws_creds", aws.credentialsFile, `aws_creds="$(cat $HOME/.aws/credentials)"`);
  await putConfig(stage, ["- type: aws", `  region: ${aws.region}`, "  aws_creds_secret_name: aws_creds"]);
  const job = await openJob(stage, "build 1", aws.registry);
  await pullBoth(stage, job, aws.registry);
  screen.step("Ask again, as the next step of the job would", tokenCommand(aws.registry));
  expectStatus(await askForConfigJson(stage, job, aws.registry), 200);
  screen.result(
    `200 from memory: the stand-in ECR was asked for ${clouds.aws.ecr.calls("GetAuthorizationToken")} token in all`,
  );
  return job;
}

async function playAzure(stage: Stage): Promise<Job> {
  stage.screen.chapter("Configuring CI for Azure Container Registry (ACR)");
  const value = `${azure.clientId}:${azure.clientSecret}`;
  await storeSecret(stage, "azprincipal", value, "azprincipal='<ID>:<PASSWORD>'");
  await putConfig(stage, [
    "- type: aws",
    `  region: ${aws.region}`,
    "  aws_creds_secret_name: aws_creds",
    "- type: azure",
    "  azure_principal_secret_name: azprincipal",
  ]);
  const job = await openJob(stage, "build 2", azure.registry);
  await pullBoth(stage, job, azure.registry);
  return job;
}

async function storeSecret(
  { fioctl, operatorToken, screen }: Stage,
  name: string,
  value: string,
  typed: string,
): Promise<void> {
  screen.step(
    `Store the secret "${name}" (${fioctl.how})`,
    `fioctl --config fioctl.yaml --token "$FACTORY_SECRETS_TOKEN" secrets update ${typed}`,
  );
  screen.result(await fioctl.update({ factory, token: operatorToken, name, value }));
}

async function putConfig({ api, operatorToken, screen }: Stage, lines: readonly string[]): Promise<void> {
  const command = `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")} > factory-config.yml\ncurl -sS -X PUT "$FACTORY_SECRETS_URL${base}/config" ${header} -H 'Content-Type: application/yaml' --data-binary @factory-config.yml`;
  screen.step("Say which registry the secret opens", command);
  const reply = await api(operatorToken, `${base}/config`, { method: "PUT", yaml: `${lines.join("\n")}\n` });
  if (reply.status !== 200 && reply.status !== 201) expectStatus(reply, 200);
  screen.result(`${reply.status}, published; naming a secret in an entry approved where it may be sent`);
}

async function openJob({ api, operatorToken, screen }: Stage, name: string, registry: string): Promise<Job> {
  const body = { name, grants: [{ registry, repositories: [allowedRepository], actions: ["pull"] }] };
  screen.step(
    `Open a CI job that may pull ${allowedRepository} and nothing else`,
    `curl -sS "$FACTORY_SECRETS_URL${base}/jobs" ${header} ${isJson} -d '${JSON.stringify(body)}'`,
  );
  const job = CreatedJob.parse(expectStatus(await api(operatorToken, `${base}/jobs`, { body }), 201).json);
  screen.result(`201, job ${job.id}, token ${shorten(job.token)}`);
  return job;
}

async function pullBoth(stage: Stage, job: Job, registry: string): Promise<void> {
  const { screen } = stage;
  screen.step("In the job: get a config.json with a short-lived registry token", tokenCommand(registry));
  const reply = expectStatus(await askForConfigJson(stage, job, registry), 200);
  const auth = DockerConfig.parse(reply.json).auths[registry];
  if (auth === undefined) throw new Error(`The config.json has nothing for ${registry}: it names other registries.`);
  const [kind, secret] = "auth" in auth ? ["auth", auth.auth] : ["registrytoken", auth.registrytoken];
  screen.result(`200 {"auths":{"${registry}":{"${kind}":"${shorten(secret)}"}}}`);
  const authorization = "auth" in auth ? `Basic ${auth.auth}` : `Bearer ${auth.registrytoken}`;
  await pull(stage, registry, { repository: allowedRepository, authorization, succeeds: true });
  await pull(stage, registry, { repository: otherRepository, authorization, succeeds: false });
  screen.step(
    `In the job: ask for ${otherRepository}, which it was not opened for`,
    tokenCommand(registry, otherRepository),
  );
  const refused = expectStatus(await askForConfigJson(stage, job, registry, otherRepository), 403);
  screen.result(`403 ${messageOf(refused.json)}`);
}

function askForConfigJson({ api }: Stage, job: Job, registry: string, repository = allowedRepository) {
  const body = { registry, repositories: [repository], format: "docker-config" };
  return api(job.token, `${base}/registry-tokens`, { body });
}

function tokenCommand(registry: string, repository = allowedRepository): string {
  const body = JSON.stringify({ registry, repositories: [repository], format: "docker-config" });
  return `(umask 077; rm -f config.json; curl -sS "$FACTORY_SECRETS_URL${base}/registry-tokens" -H "OSF-TOKEN: $JOB_TOKEN" ${isJson} -d '${body}' -o config.json)`;
}

async function pull(
  { clouds, screen }: Stage,
  registry: string,
  { repository, authorization, succeeds }: { repository: string; authorization: string; succeeds: boolean },
): Promise<void> {
  screen.step(
    `Pull ${repository} with that token from the stand-in registry`,
    `docker --config . pull ${registry}/${repository}:latest`,
  );
  const headers = { authorization };
  const reply = await clouds.request({ host: registry, path: `/v2/${repository}/manifests/latest`, headers });
  const isPulled = reply.status === 200;
  if (isPulled !== succeeds) throw new Error(`${registry} answered ${reply.status} for ${repository}: ${reply.body}`);
  screen.result(
    `GET /v2/${repository}/manifests/latest ${reply.status}: ${isPulled ? "pulled" : "refused by the registry"}`,
  );
}

async function endJob({ api, operatorToken, screen }: Stage, job: Job): Promise<void> {
  screen.step(
    "End the job; its token stops working at once",
    `curl -sS -X DELETE "$FACTORY_SECRETS_URL${base}/jobs/${job.id}" ${header}`,
  );
  expectStatus(await api(operatorToken, `${base}/jobs/${job.id}`, { method: "DELETE" }), 204);
  const after = expectStatus(await api(job.token, `${base}/registry-tokens`, { body: {} }), 401);
  screen.result(`204; the job asking once more: 401 ${messageOf(after.json)}`);
}

async function showAudit({ api, operatorToken, screen }: Stage): Promise<void> {
  screen.chapter("What the audit says");
  screen.step("Read the audit of the factory, newest first", `curl -sS "$FACTORY_SECRETS_URL${base}/audit" ${header}`);
  const { items } = AuditPage.parse(expectStatus(await api(operatorToken, `${base}/audit`), 200).json);
  const lines = items.map(({ at, action, outcome, actor, secret, registry, repositories, cached }) => {
    const about = [registry, repositories?.join(","), secret, cached === true ? "from memory" : undefined].filter(
      Boolean,
    );
    return `${at}  ${action.padEnd(22)} ${outcome.padEnd(8)} ${`${actor.kind} "${actor.name}"`.padEnd(27)} ${about.join(" ")}`.trimEnd();
  });
  screen.result(lines.join("\n"));
  const issued = items.filter(({ action }) => action === "registry-token.issued").length;
  if (issued !== 3) throw new Error(`3 tokens were handed out, but the audit has ${issued} rows of them.`);
}

const messageOf = (json: unknown): string => z.object({ message: z.string() }).parse(json).message;
