// What the runner starts at the end of the job: after this no token is left on its machine.
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { programIn } from "./command-line.mjs";
import { Failure } from "./failure.mjs";
import { runCommand } from "./run-command.mjs";
import { annotate, exportVariable, stateOf } from "./runner.mjs";

const environment = process.env;
const home = stateOf(environment, "home");

// Nothing was made where main.mjs went no further than its inputs.
if (home !== "") await cleanUp();

async function cleanUp() {
  try {
    await putVariablesBack();
    await logOut(stateOf(environment, "givenFolder"));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    annotate("error", `Tokens may be left behind in docker's configuration: ${error.message}`);
    process.exitCode = 1;
  } finally {
    // On Windows a file that a scanner still reads cannot be removed at once. Links are removed, not what they lead to.
    await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}

/** A folder of the job's own goes as a whole; out of the user's only what was written there is taken. */
async function logOut(givenFolder) {
  const program = programIn(home);
  if (givenFolder === "" || !existsSync(program)) return;
  await runCommand(program, ["ci", "logout"], { ...environment, DOCKER_CONFIG: givenFolder });
}

/** A variable cannot be taken away again; for all that read these an empty one is none. */
async function putVariablesBack() {
  const state = stateOf(environment, "variables");
  if (state === "") return;
  const { ours, earlier } = JSON.parse(state);
  // Somebody else may have set it since.
  for (const [name, value] of Object.entries(earlier))
    if (environment[name] === ours[name]) await exportVariable(environment, name, value);
}
