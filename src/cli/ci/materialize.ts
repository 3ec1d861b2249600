import { Command } from "commander";
import { exitCodes } from "../client/command-failure.js";
import { maskTexts } from "../client/mask.js";
import { type CommandContext, openClient, type TokenFlags, wantedBy } from "./command-context.js";
import { type JobFile, registriesFile, requestFiles } from "./job-directory/request-files.js";
import { writeFiles } from "./job-directory/write-files.js";
import { failureLine } from "./show-tokens.js";

type MaterializeFlags = TokenFlags & { dir: string; keepExisting?: true };

/** `ci materialize`, without the options that all commands of a job have. */
export function materializeCommand(): Command {
  return new Command("materialize")
    .description("write a job's /secrets as foundriesio/ci-scripts reads them")
    .requiredOption("--dir <folder>", "where to; ci-scripts reads /secrets and nothing else")
    .option("--keep-existing", "leave files that somebody else has put there, and write the others")
    .addHelpText(
      "after",
      `
It writes ${registriesFile}, a file with user:token for each registry, and the secrets that are flagged deliverToJobs
and that this job may have. Run it again to renew the tokens; what is no longer there is removed.

Example:
  factory-secrets ci materialize --dir /secrets && apps/login_registries /secrets/${registriesFile}`,
    );
}

export async function runMaterialize(context: CommandContext, flags: MaterializeFlags): Promise<number> {
  const { environment, terminal } = context;
  const { files, failures } = await requestFiles(openClient(context, flags), wantedBy(flags));
  maskTexts(environment, terminal, files.flatMap(secretTexts));
  const { written, kept, removed } = await writeFiles(flags.dir, files, { keepExisting: flags.keepExisting === true });
  for (const name of written) terminal.out(name);
  for (const name of kept) terminal.say(`${name}: was there already, and is left as it is.`);
  for (const name of removed) terminal.say(`${name}: removed, for this job no longer gets it.`);
  for (const failure of failures) terminal.say(failureLine(failure));
  terminal.say(`Written to ${flags.dir}.`);
  return exitCodes.done;
}

/** The parts of a file that a log must not show: all of it, and what stands behind the colon of `user:token`. */
function secretTexts({ name, content }: JobFile): string[] {
  if (name === registriesFile) return [];
  const text = content.toString("utf8").trim();
  const colon = text.indexOf(":");
  return colon === -1 || text.includes("\n") ? [text] : [text, text.slice(colon + 1)];
}
