import { runCommands } from "../client/run-commands.js";
import { openContext } from "./command-context.js";
import { jobCommands } from "./job-commands.js";

/** The command line as a job's machine gets it: without the commands that need the server. @returns the exit code */
export const run = (argv: readonly string[]): Promise<number> =>
  runCommands(argv, (finish) => jobCommands(() => openContext(process.env), finish));
