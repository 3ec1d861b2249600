import { Command, Option } from "commander";
import type { ClientFlags } from "../../client/client-settings.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { type CommandContext, openClient } from "../command-context.js";
import { checkMentions } from "./check-mentions.js";
import { findMentions } from "./find-mentions.js";
import type { Mention } from "./mention.js";
import { type ReportForm, report, reportForms, weightOf } from "./report.js";

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

const collect = (value: string, earlier: readonly string[] = []): string[] => [...earlier, value];

/** Which files, and how they are read. */
export type TreeFlags = {
  buildArg?: readonly string[];
  platform?: readonly string[];
  profile?: readonly string[];
  target?: string;
};

type CheckFlags = ClientFlags & TreeFlags & { dir: string; output: ReportForm; requireCovered?: true };

export function withTreeOptions(command: Command): Command {
  return command
    .option("--build-arg <name=value>", "an argument of the builds; may be repeated", collect)
    .option(
      "--platform <os/architecture>",
      "what is built and run for; the images must be there for it; may be repeated",
      collect,
    )
    .option("--profile <name>", "services of this compose profile, too; may be repeated", collect)
    .option("--target <stage>", "the stage to build of Dockerfiles that no compose file builds; the last by default");
}

/** `check`, without the options that all commands of a job have. */
export function checkCommand(): Command {
  return withTreeOptions(new Command("check"))
    .description("whether the images that Dockerfiles and compose files name can be pulled")
    .option("--dir <folder>", "where to look, and below", ".")
    .option(
      "--require-covered",
      "fail for an image that no registry entry is for, too: nothing may be pulled without a login",
    )
    .addOption(new Option("--output <form>", "how to print what was found").choices(reportForms).default("table"))
    .addHelpText(
      "after",
      `
It lists what \`docker compose build\` and \`docker compose up\` pull where there is a compose file, and what \`docker build\`
pulls of other Dockerfiles: stages that the target does not need are left out. What it cannot follow (a Git context, a
cache, a remote include) it names; --require-covered is not satisfied then.
Exit code 1 when any image fails; else 0, or that of what was in the way.

Example:
  factory-secrets check --dir containers --platform linux/arm64`,
    );
}

export async function runCheck(context: CommandContext, flags: CheckFlags): Promise<number> {
  const { terminal } = context;
  const client = openClient(context, flags);
  const { mentions, notes } = await mentionsBelow(context, flags.dir, flags);
  for (const note of notes) terminal.say(note);
  if (mentions.length === 0) {
    terminal.say(`No Dockerfile or compose file in ${flags.dir} names an image.`);
    if (flags.output === "table" || flags.output === "github") return exitCodes.done;
  }
  const checked = await checkMentions(client, mentions);
  const requireCovered = flags.requireCovered === true;
  const text = report(flags.output, checked, requireCovered);
  if (flags.output === "github") for (const line of linesOf(text)) terminal.command(line, "out");
  else terminal.out(text);
  const failing = checked.filter((one) => weightOf(one, requireCovered) === "fail").length;
  if (flags.output === "table") terminal.say(`${checked.length} looked at, ${failing} cannot be pulled.`);
  return failing > 0 ? exitCodes.failed : exitCodes.done;
}

/**
 * What Dockerfiles and compose files name. Says what is not read, and what cannot be told.
 * @throws CommandFailure when the folder cannot be read, or an option makes no sense
 */
export async function readTree(
  context: CommandContext,
  directory: string,
  flags: TreeFlags,
): Promise<readonly Mention[]> {
  const { mentions, notes } = await mentionsBelow(context, directory, flags);
  for (const note of notes) context.terminal.say(note);
  for (const mention of mentions)
    if (!("reference" in mention))
      context.terminal.say(
        `${mention.file}:${mention.line}: ${"unresolved" in mention ? mention.unresolved : mention.passedOver}`,
      );
  return mentions;
}

/** @throws CommandFailure when the folder cannot be read, or an option makes no sense */
function mentionsBelow({ environment }: CommandContext, directory: string, flags: TreeFlags) {
  const { buildArg = [], platform: platforms = [], profile: profiles, target } = flags;
  const buildArgs = new Map(
    buildArg.map((text): [string, string] => {
      const equals = text.indexOf("=");
      // As docker has it: a name alone is taken from the environment.
      if (equals === -1) return [text, environment[text] ?? ""];
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
  if (platforms.some((platform) => !/^[a-z0-9_]+\/[a-z0-9_]+(?:\/[a-z0-9_.]+)?$/.test(platform)))
    throw new CommandFailure(exitCodes.usage, "--platform is os/architecture, such as linux/arm64.");
  const variables = (name: string): string | undefined => environment[name];
  return findMentions({ directory, buildArgs, platforms, variables, profiles, target });
}
