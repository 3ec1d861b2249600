import { exitCodes } from "./client/command-failure.js";
import { writeErr } from "./client/output.js";
import { isForJob, runCommands } from "./client/run-commands.js";
import { openContext } from "./job/command-context.js";
import { jobCommands } from "./job/job-commands.js";

/** Runs the command line of machines other than the server's: without what needs the server. @returns the exit code */
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
    const [{ operatorCommands }, { openOperatorContext }, { auditCommands }, completion] = await Promise.all([
      import("./operator/operator-commands.js"),
      import("./operator/operator-client.js"),
      import("./operator/audit-commands.js"),
      import("./operator/completion.js"),
    ]);
    const operator = { open: () => openOperatorContext(process.env), finish };
    return [
      ...jobs,
      ...operatorCommands(operator),
      auditCommands(operator),
      completion.completionCommand(),
      completion.completeCommand(operator.open),
    ];
  });

/** The commands that need the server's own settings, by the first words of each. The packed program lacks them. */
export const onlyInClone: readonly (readonly string[])[] = [
  ["audit", "rotate-key"],
  ["audit", "prune"],
  ["operator-token"],
  ["signing-keys"],
  ["keys"],
  ["backup"],
  ["restore"],
];

/** The message for a command that only the clone has; `undefined` for any other command. */
export function clonePointer(argv: readonly string[]): string | undefined {
  const words = onlyInClone.find((one) => one.every((word, index) => argv[index] === word));
  if (words === undefined) return undefined;
  const command = words.join(" ");
  return `factory-secrets ${command} needs the server's settings, so this program does not have it. On the server's machine, in its clone: npx factory-secrets ${command}`;
}
