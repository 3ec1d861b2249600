import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { recordText } from "../../support/leak-watch.js";
import { type ProgramResult, runProgram } from "../../support/programs/run-to-end.js";
import { type JobMachine, openJobMachine } from "../cli/job/job-machine.js";
import { componentJob } from "./gitlab-component.js";
import { linkPrograms } from "./link-programs.js";

/** What every image has. */
const basics = ["sh", "cat", "mkdir", "mv", "rm", "ln", "tar", "gzip"];

export type GitLabRunner = {
  machine: JobMachine;
  /** A job that extends the component's, with this script. The next one has the next id. */
  job(inputs: Record<string, string | boolean>, script: string, more?: JobOptions): GitLabJob;
  close(): void;
};

export type GitLabJob = {
  /** `before_script` and `script`, in one shell, as the runner runs them. */
  run(): Promise<ProgramResult>;
  /** `after_script`, which a job has in a shell of its own whatever became of it. */
  end(): Promise<ProgramResult>;
};

export type JobOptions = {
  idToken?: string;
  /** Programs of the job's image beside the basic ones. */
  image?: readonly string[];
  /** Programs of it that are only for this test, by name. */
  scripts?: Record<string, string>;
  /** The shell that the runner finds there, and its arguments. */
  shell?: readonly [string, ...string[]];
  variables?: Record<string, string>;
};

/** GitLab's runner with one place for builds, which its jobs have one after the other. */
export function openGitLabRunner(): GitLabRunner {
  const machine = openJobMachine({});
  const project = join(machine.environment.TMPDIR ?? "", "builds", "acme", "app");
  mkdirSync(project, { recursive: true });
  let jobs = 0;
  return {
    machine,
    job(inputs, script, { idToken = "", image = [], scripts = {}, shell = ["/bin/sh", "-e"], variables = {} } = {}) {
      jobs += 1;
      const job = componentJob(inputs);
      const [aud] = Object.values(job.id_tokens);
      if (!aud) throw new Error("the job gets no ID token");
      const PATH = linkPrograms(join(machine.environment.TMPDIR ?? "", `image-${jobs}`), [...basics, ...image]);
      for (const [name, text] of Object.entries(scripts)) writeFileSync(join(PATH, name), text, { mode: 0o755 });
      const known = { CI_PROJECT_DIR: project, CI_JOB_ID: String(4_000 + jobs), GITLAB_CI: "true", CI: "true" };
      const environment = {
        ...{ PATH, HOME: machine.home, TMPDIR: machine.environment.TMPDIR ?? "" },
        ...known,
        ...expand({ ...job.variables, ...variables }, known),
        FACTORY_SECRETS_ID_TOKEN: idToken,
      };
      const start = async (lines: readonly string[]) => {
        const [program, ...args] = shell;
        const done = await runProgram(
          program,
          [...args, "-c", `cd "$CI_PROJECT_DIR"\n${lines.join("\n")}`],
          environment,
        );
        recordText(`${done.stdout}\n${done.stderr}`);
        return done;
      };
      return { run: () => start([...job.before_script, script]), end: () => start(job.after_script) };
    },
    close: () => machine.close(),
  };
}

/** Source: GitLab documentation, "Where variables can be used": the runner expands those of a job, as a shell names them. */
function expand(variables: Record<string, string>, known: Record<string, string>): Record<string, string> {
  const pairs = Object.entries(variables).map(([name, value]): [string, string] => [
    name,
    value.replace(/\$\{(\w+)\}|\$(\w+)/g, (_, braced?: string, bare?: string) => known[braced ?? bare ?? ""] ?? ""),
  ]);
  return Object.fromEntries(pairs);
}
