// `npm run demo`: the walk-through of private registries, AWS and Azure, on this machine alone. Cleans up after itself.
import { chmod, mkdtemp, realpath, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApi } from "./api-client.js";
import { createScreen } from "./show-step.js";
import { startAccounts } from "./stand-in-accounts.js";
import { buildService, removeServiceDirectory, startService } from "./throw-away-service.js";
import { findFioctl } from "./update-secret.js";
import { playWalkthrough } from "./walkthrough.js";

const interruption = new AbortController();
const screen = createScreen((line) => console.log(line), interruption.signal);
const cleanUps: (() => Promise<void>)[] = [];

async function play(): Promise<void> {
  await buildService();
  const directory = await realpath(await mkdtemp(join(tmpdir(), "factory-secrets-demo-")));
  cleanUps.push(() => removeServiceDirectory(directory));
  // As root, Postgres runs under another account, which has to be able to enter.
  await chmod(directory, 0o755);
  const clouds = await startAccounts();
  cleanUps.push(() => clouds.close());
  const authorities = join(directory, "stand-in-authority.pem");
  await writeFile(authorities, clouds.caPem);
  screen.say(`The whole walk-through of private registries, on this machine alone.
The clouds are STAND-INS: a local program that answers under the real host names of AWS and Azure, checks signatures,
passwords and scopes as they do, and is reached by FACTORY_SECRETS_CONNECT_TO. No real cloud is asked.
The service is the real one, with a Postgres of its own in a directory that is removed at the end.`);
  const service = await startService(directory, {
    environment: { FACTORY_SECRETS_CONNECT_TO: clouds.connectTo, FACTORY_SECRETS_CA_FILE: authorities },
    interrupted: interruption.signal,
  });
  cleanUps.push(() => service.stop());
  const { url, operatorToken } = service;
  if (operatorToken === undefined) throw new Error("The first start printed no operator token.");
  screen.say(`\nIt listens on ${url} and printed the operator's token: ${operatorToken.slice(0, 8)}...`);
  const api = createApi(url);
  await playWalkthrough({ api, clouds, fioctl: await findFioctl(api, url, directory), operatorToken, screen });
}

/** The last one first; what fails does not keep the others from being done. */
async function cleanUp(): Promise<void> {
  for (const undo of cleanUps.reverse()) {
    await undo().catch((error: unknown) => {
      console.error("Not everything could be cleaned up:", error);
      process.exitCode = 1;
    });
  }
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interruption.abort());

try {
  await play();
} catch (error) {
  // Ctrl-C reaches the server too: what fails after it is not news.
  if (interruption.signal.aborted) console.log("\nInterrupted; cleaning up ...");
  else console.error("\nThe demo failed:", error);
  process.exitCode = 1;
}
await cleanUp();
if (process.exitCode === undefined) {
  screen.say("\nAll steps did what they promise. Server, Postgres, stand-in clouds and data are gone again.");
}
