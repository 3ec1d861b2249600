import { standardTerminal } from "./client/output.js";
import { isForJob, runCommands } from "./client/run-commands.js";
import { openContext } from "./job/command-context.js";
import { jobCommands } from "./job/job-commands.js";

/** Runs the command line of the clone: with the commands that need the server's settings. @returns the exit code */
export const run = (argv: readonly string[]): Promise<number> =>
  runCommands(argv, async (finish) => {
    const jobs = jobCommands(() => openContext(process.env), finish);
    if (isForJob(jobs, argv)) return jobs;
    const [{ operatorCommands }, { openOperatorContext }, { serverCommands }, completion] = await Promise.all([
      import("./operator/operator-commands.js"),
      import("./operator/operator-client.js"),
      import("./server/server-commands.js"),
      import("./operator/completion.js"),
    ]);
    const operator = { open: () => openOperatorContext(process.env), finish };
    const server = { environment: process.env, say: standardTerminal().say };
    return [
      ...jobs,
      ...operatorCommands(operator),
      ...serverCommands(server, operator),
      completion.completionCommand(),
      completion.completeCommand(operator.open),
    ];
  });
