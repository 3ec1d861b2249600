// `npm run dev`: the service of this clone with a seeded factory and stand-in clouds, started again after each change.
import { watch } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import pretty from "pino-pretty";
import { type Api, createApi, expectStatus } from "./api-client.js";
import { aws, azure, startAccounts } from "./stand-in-accounts.js";
import { buildService, type RunningService, startService } from "./throw-away-service.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const directory = join(root, ".factory-secrets-dev");
const tokenFile = join(directory, "operator-token");
const base = "/v1/factories/acme";

const log = pretty({ ignore: "pid,hostname", translateTime: "SYS:HH:MM:ss.l", singleLine: true });
const say = (text: string): void => console.error(text);

async function develop(): Promise<void> {
  const interruption = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interruption.abort());
  await mkdir(directory, { recursive: true });
  // As root, Postgres runs under another account, which must be able to enter.
  await chmod(directory, 0o755);
  await buildService();
  const clouds = await startAccounts();
  const authorities = join(directory, "stand-in-authority.pem");
  await writeFile(authorities, clouds.caPem);
  const environment = {
    PORT: process.env.PORT ?? "8080",
    FACTORY_SECRETS_CONNECT_TO: clouds.connectTo,
    FACTORY_SECRETS_CA_FILE: authorities,
  };
  const start = () => startService(directory, { environment, logTo: log, interrupted: interruption.signal });
  const first = await start();
  await introduce(first);
  await restartOnChange(first, start, interruption.signal);
  await clouds.close();
}

/** Seeds the factory at the first start, and prints what to try. */
async function introduce({ url, operatorToken }: RunningService): Promise<void> {
  if (operatorToken !== undefined) await writeFile(tokenFile, `${operatorToken}\n`, { mode: 0o600 });
  const token = (await readFile(tokenFile, "utf8")).trim();
  const api = createApi(url);
  if ((await api(token, base)).status === 404) await seed(api, token);
  say(`
The service runs at ${url} with the factory "acme" and stand-ins for AWS and Azure. It restarts when src/ changes.
Data and the operator token are in .factory-secrets-dev/; remove that folder to begin again.

  export FACTORY_SECRETS_URL=${url} FACTORY_SECRETS_TOKEN="$(cat .factory-secrets-dev/operator-token)"
  npx factory-secrets registries list --factory acme --url "$FACTORY_SECRETS_URL"
  curl -sS -X POST "$FACTORY_SECRETS_URL${base}/registry-tokens" -H "OSF-TOKEN: $FACTORY_SECRETS_TOKEN" \\
    -H 'Content-Type: application/json' -d '{"registry":"${aws.registry}","repositories":["team/app"]}'
`);
}

async function seed(api: Api, token: string): Promise<void> {
  expectStatus(await api(token, "/v1/factories", { body: { name: "acme" } }), 201);
  const values = { aws_creds: aws.credentialsFile, azprincipal: `${azure.clientId}:${azure.clientSecret}` };
  for (const [name, value] of Object.entries(values))
    expectStatus(await api(token, `${base}/secrets/${name}`, { method: "PUT", body: { value } }), 201);
  const yaml = `container_registries:
  - type: aws
    region: ${aws.region}
    aws_creds_secret_name: aws_creds
  - type: azure
    azure_principal_secret_name: azprincipal
`;
  const reply = await api(token, `${base}/config`, { method: "PUT", yaml });
  if (reply.status >= 300) throw new Error(`The config was not accepted: ${reply.text}`);
}

/** Builds and restarts after each change below src/, until `interrupted`. A build that fails leaves the last one running. */
async function restartOnChange(
  first: RunningService,
  start: () => Promise<RunningService>,
  interrupted: AbortSignal,
): Promise<void> {
  let running: RunningService | undefined = first;
  let changed: (() => void) | undefined;
  let isStale = false;
  const watcher = watch(join(root, "src"), { recursive: true }, (_event, file) => {
    // The build writes it.
    if (file?.startsWith(join("db", "generated"))) return;
    isStale = true;
    changed?.();
  });
  interrupted.addEventListener("abort", () => changed?.());
  while (!interrupted.aborted) {
    if (!isStale)
      await new Promise<void>((resolve) => {
        changed = resolve;
      });
    // Editors write several files at once.
    await new Promise((resolve) => setTimeout(resolve, 200));
    isStale = false;
    if (interrupted.aborted) break;
    try {
      await buildService();
      await running?.stop();
      running = undefined;
      running = await start();
    } catch (error) {
      if (!interrupted.aborted) say(error instanceof Error ? error.message : String(error));
    }
  }
  watcher.close();
  await running?.stop();
}

await develop();
