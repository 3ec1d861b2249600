import { openContext } from "./ci/command-context.js";
import { jobCommands } from "./ci/job-commands.js";
import { exitCodes } from "./client/command-failure.js";
import { isForJob } from "./client/leading-options.js";
import { clonePointer } from "./client/only-in-clone.js";
import { writeErr } from "./client/output.js";
import { runCommands } from "./client/run-commands.js";
import { completionCommand } from "./completion/command.js";

/** The command line as machines other than the server's get it: without what needs the server. @returns the exit code */
export async function run(argv: readonly string[]): Promise<number> {
  const pointer = clonePointer(argv);
  if (pointer === undefined) return runPacked(argv);
  writeErr(`${pointer}\n`);
  return exitCodes.usage;
}

const runPacked = (argv: readonly string[]): Promise<number> =>
  runCommands(argv, async (finish) => {
    const jobs = jobCommands(() => openContext(process.env), finish);
    if (isForJob(jobs, argv)) return jobs;
    const [{ operatorCommands }, { openOperatorContext }, { auditCommands }, { completeCommand }] = await Promise.all([
      import("./operator/operator-commands.js"),
      import("./operator/operator-client.js"),
      import("./operator/audit-commands.js"),
      import("./completion/complete-command.js"),
    ]);
    const operator = { open: () => openOperatorContext(process.env), finish };
    return [
      ...jobs,
      ...operatorCommands(operator),
      auditCommands(operator),
      completionCommand(),
      completeCommand(operator.open),
    ];
  });
