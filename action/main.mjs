// What the runner starts for `uses:`. At the end of the job it starts post.mjs, whatever became of this.
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { installCommandLine } from "./command-line.mjs";
import { addUsersOwn, makeOwnFolder, usersFolder, variablesFor } from "./docker-folder.mjs";
import { Failure } from "./failure.mjs";
import { requireIdentity } from "./identity.mjs";
import { readInputs } from "./inputs.mjs";
import { runCommand } from "./run-command.mjs";
import { addPath, annotate, exportVariable, saveState, setOutput } from "./runner.mjs";

const environment = process.env;

try {
  await main();
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  annotate("error", error.message);
  process.exitCode = 1;
}

async function main() {
  const inputs = readInputs(environment);
  await requireIdentity(environment);
  // Of this job alone, in the folder that the runner empties itself before the next one.
  const home = await mkdtemp(join(environment.RUNNER_TEMP, "factory-secrets-"));
  await saveState(environment, "home", home);
  const { program, bin } = await installCommandLine(home, inputs);
  const folder = inputs.dockerConfig || (await makeOwnFolder(home, usersFolder(environment)));
  // Before anything is written there: what is left half done is removed too.
  await saveState(environment, "givenFolder", inputs.dockerConfig);
  await runCommand(program, loginArguments(inputs), { ...environment, DOCKER_CONFIG: folder });
  await addPath(environment, bin);
  await exportSettings(inputs);
  await exportFolder(folder, inputs);
}

function loginArguments({ url, factory, audience, registries, repositories, folder, caFile, ...inputs }) {
  return [
    ...["ci", "login", "--url", url, "--factory", factory, "--timeout", String(inputs.timeoutSeconds)],
    // Another use of the action may have left its audience in the environment.
    ...["--audience", audience || url],
    ...(caFile === "" ? [] : ["--ca-file", caFile]),
    ...(folder === "" ? [] : ["--for", folder]),
    ...registries.flatMap((registry) => ["--registry", registry]),
    ...repositories.flatMap((repository) => ["--repository", repository]),
    ...(inputs.allowPartial ? ["--allow-partial"] : []),
    ...(inputs.allowBroader ? ["--allow-broader"] : []),
  ];
}

/** So that `factory-secrets ci token` and the others need no flags in later steps. */
async function exportSettings({ url, factory, audience, caFile }) {
  const settings = { URL: url, FACTORY: factory, AUDIENCE: audience || url, CA_FILE: caFile };
  for (const [name, value] of Object.entries(settings))
    if (value !== "" || environment[`FACTORY_SECRETS_${name}`])
      await exportVariable(environment, `FACTORY_SECRETS_${name}`, value);
}

async function exportFolder(folder, { dockerConfig }) {
  const users = usersFolder(environment);
  if (dockerConfig === "") await addUsersOwn(folder, users);
  const variables = dockerConfig === "" ? variablesFor(folder, users, environment) : { DOCKER_CONFIG: folder };
  // What it was before is put back at the end: other actions log out there after this one.
  const earlier = Object.keys(variables).map((name) => [name, environment[name] ?? ""]);
  await saveState(environment, "variables", JSON.stringify({ ours: variables, earlier: Object.fromEntries(earlier) }));
  for (const [name, value] of Object.entries(variables)) await exportVariable(environment, name, value);
  await setOutput(environment, "docker-config", folder);
}
