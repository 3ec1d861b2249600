import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { recordText } from "../../support/leak-watch.js";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";
import { Action } from "./action-metadata.js";
import { linkPrograms } from "./link-programs.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
export const action = Action.parse(parse(readFileSync(join(root, "action.yml"), "utf8")));

/** What a step has said, as it came, and as the runner shows it in the log: without what was masked before. */
export type StepResult = ProgramResult & { log: string };

/** One `uses:` of the action. */
export type ActionStep = {
  main(): Promise<StepResult>;
  /** What the step has kept for the end of the job. */
  state: Record<string, string>;
  /** Nothing where the runner would not start it. */
  post(): Promise<StepResult>;
  outputs: Record<string, string>;
};

/** GitHub's runner as an action sees it. Source: actions/runner, src/Runner.Worker (Handlers/Handler.cs, FileCommandManager.cs). */
export type GitHubRunner = {
  machine: JobMachine;
  /** RUNNER_TEMP. */
  temporary: string;
  workspace: string;
  uses(inputs: Record<string, string>, environment?: Record<string, string>): ActionStep;
  /** `run:`, a step with what the steps before it have exported. */
  run(command: string): Promise<StepResult>;
  /** What GitHub answers who asks for an ID token. */
  idToken: { status: number; value: () => string };
  /** What the job's steps have exported. */
  exported: Record<string, string>;
  close(): Promise<void>;
};

/**
 * @param permitted - whether the job has `permissions: id-token: write`
 * @param onMachine - another job's machine, to run beside it on the same one
 */
export async function openGitHubRunner(
  idToken: () => string,
  { permitted = true, onMachine }: { permitted?: boolean; onMachine?: JobMachine } = {},
): Promise<GitHubRunner> {
  const machine = onMachine ?? openJobMachine({});
  const number = machine.files().filter((name) => name.endsWith("event.json")).length;
  const folder = join(machine.environment.TMPDIR ?? "", `runner-${number}`);
  const [temporary, workspace] = [join(folder, "_temp"), join(folder, "work")];
  for (const one of [temporary, workspace]) mkdirSync(one, { recursive: true });
  // The runner starts a node of its own; there need be none in PATH.
  const small = linkPrograms(join(folder, "bin"), ["sh", "tar", "gzip", "cat", "ls"]);
  const event = join(folder, "event.json");
  writeFileSync(event, "{}");
  const answer = { status: 200, value: idToken };
  const github = createServer((request, response) => {
    const isKnown = request.headers.authorization === "Bearer not-a-real-secret-runner";
    response.writeHead(isKnown ? answer.status : 401, { "content-type": "application/json" });
    response.end(JSON.stringify(answer.status === 200 ? { value: answer.value() } : { message: "no" }));
  });
  await new Promise<void>((resolve) => github.listen(0, "127.0.0.1", resolve));
  const address = github.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const exported: Record<string, string> = {};
  const paths: string[] = [];
  const masks = new Set<string>();
  const base = {
    HOME: machine.home,
    TMPDIR: machine.environment.TMPDIR ?? "",
    CI: "true",
    GITHUB_ACTIONS: "true",
    GITHUB_REPOSITORY: "acme/app",
    GITHUB_EVENT_PATH: event,
    GITHUB_WORKSPACE: workspace,
    RUNNER_TEMP: temporary,
    ...(permitted && {
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "not-a-real-secret-runner",
    }),
  };

  async function step(program: string, args: readonly string[], own: Record<string, string>, path: string) {
    const commands = join(temporary, "_runner_file_commands");
    mkdirSync(commands);
    const files = Object.fromEntries(["ENV", "PATH", "OUTPUT", "STATE"].map((name) => [name, join(commands, name)]));
    for (const file of Object.values(files)) writeFileSync(file, "");
    const named = Object.fromEntries(Object.entries(files).map(([name, file]) => [`GITHUB_${name}`, file]));
    const PATH = [...paths.toReversed(), path].join(delimiter);
    const result = await runProgram(program, args, { ...base, PATH, ...exported, ...own, ...named });
    const read = (name: string) => readFileSync(files[name] ?? "", "utf8");
    Object.assign(exported, pairsIn(read("ENV")));
    paths.push(...read("PATH").split("\n").filter(Boolean));
    const [outputs, state] = [pairsIn(read("OUTPUT")), pairsIn(read("STATE"))];
    rmSync(commands, { recursive: true });
    recordText(`${result.stdout}\n${result.stderr}`);
    return { outputs, state, result: { ...result, log: logOf(result, masks) } };
  }

  return {
    machine,
    temporary,
    workspace,
    idToken: answer,
    exported,
    uses(inputs, environment = {}) {
      const own = { ...environment, ...inputVariables(inputs) };
      const state: Record<string, string> = {};
      const outputs: Record<string, string> = {};
      const start = async (script: string): Promise<StepResult> => {
        const kept = Object.fromEntries(Object.entries(state).map(([name, value]) => [`STATE_${name}`, value]));
        const done = await step(process.execPath, [join(root, script)], { ...own, ...kept }, small);
        Object.assign(state, done.state);
        Object.assign(outputs, done.outputs);
        return done.result;
      };
      return { state, outputs, main: () => start(action.runs.main), post: () => start(action.runs.post) };
    },
    run: async (command) => (await step("/bin/sh", ["-e", "-c", command], {}, small)).result,
    async close() {
      await new Promise<void>((resolve) => void github.close(() => resolve()));
      if (!onMachine) machine.close();
    },
  };
}

/** Inputs that the workflow does not give have their defaults. */
function inputVariables(inputs: Record<string, string>): Record<string, string> {
  const unknown = Object.keys(inputs).filter((name) => !Object.hasOwn(action.inputs, name));
  if (unknown.length > 0) throw new Error(`action.yml has no input ${unknown.join(", ")}`);
  const defaults = Object.entries(action.inputs).flatMap(([name, { default: value }]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  const given = Object.entries({ ...Object.fromEntries(defaults), ...inputs });
  return Object.fromEntries(given.map(([name, value]) => [`INPUT_${name.replaceAll(" ", "_").toUpperCase()}`, value]));
}

/** `NAME=VALUE`, or `NAME<<END` with the value in the lines before `END`. */
function pairsIn(text: string): Record<string, string> {
  const lines = text.split("\n");
  const pairs: Record<string, string> = {};
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    if (line === "") continue;
    const [, name = "", end] = /^([^=]+?)<<(.+)$/.exec(line) ?? [];
    if (end === undefined) {
      pairs[line.slice(0, line.indexOf("="))] = line.slice(line.indexOf("=") + 1);
      continue;
    }
    const until = lines.indexOf(end);
    if (until < 0) throw new Error(`${name} has no end`);
    pairs[name] = lines
      .splice(0, until + 1)
      .slice(0, -1)
      .join("\n");
  }
  return pairs;
}

/** Line by line: what is masked is masked from there on, in this step and in those after it. */
function logOf({ stdout, stderr }: ProgramResult, masks: Set<string>): string {
  const shown: string[] = [];
  for (const line of `${stdout}\n${stderr}`.split("\n")) {
    const [, text] = /^::add-mask::(.*)$/.exec(line) ?? [];
    if (text !== undefined) masks.add(text.replaceAll("%0A", "\n").replaceAll("%0D", "\r").replaceAll("%25", "%"));
    else shown.push([...masks].reduce((left, mask) => left.replaceAll(mask, "***"), line));
  }
  return shown.join("\n");
}
