import { openContext } from "./ci/command-context.js";
import { jobCommands } from "./ci/job-commands.js";
import { exitCodes } from "./client/command-failure.js";
import { clonePointer } from "./client/only-in-clone.js";
import { writeErr } from "./client/output.js";
import { runCommands } from "./client/run-commands.js";
import { completionCommand } from "./completion/command.js";
import { completeCommand } from "./completion/complete-command.js";
import { auditCommands } from "./operator/audit-commands.js";
import { operatorCommands } from "./operator/operator-commands.js";
import { openOperatorContext } from "./operator/operator-context.js";

/** The command line as machines other than the server's get it: without what needs the server. @returns the exit code */
export async function run(argv: readonly string[]): Promise<number> {
  const pointer = clonePointer(argv);
  if (pointer === undefined) return runPacked(argv);
  writeErr(`${pointer}\n`);
  return exitCodes.usage;
}

const runPacked = (argv: readonly string[]): Promise<number> =>
  runCommands(argv, (finish) => {
    const operator = { open: () => openOperatorContext(process.env), finish };
    return [
      ...jobCommands(() => openContext(process.env), finish),
      ...operatorCommands(operator),
      auditCommands(operator),
      completionCommand(),
      completeCommand(operator.open),
    ];
  });
