import { Command, Option } from "commander";
import { unknownAnswer } from "../../client/ask-with-retries.js";
import type { ClientFlags } from "../../client/client-settings.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { listAt, sentenceAt } from "../../client/json-value.js";
import { type CommandContext, openClient } from "../command-context.js";
import { explainAnswer } from "../explain-answer.js";
import { askOfFactory, type JobClient } from "../request-tokens.js";
import { findMentions } from "./find-mentions.js";
import type { Mention } from "./mention.js";
import { type ReportForm, report, reportForms, weightOf } from "./report.js";

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

const collect = (value: string, earlier: readonly string[] = []): string[] => [...earlier, value];

export type TreeFlags = {
  buildArg?: readonly string[];
  platform?: readonly string[];
  profile?: readonly string[];
  target?: string;
};

type CheckFlags = ClientFlags & TreeFlags & { dir: string; output: ReportForm; requireCovered?: true };

export function withTreeOptions(command: Command): Command {
  return command
    .option("--build-arg <name=value>", "a build argument; may be repeated", collect)
    .option(
      "--platform <os/architecture>",
      "platform of builds and services, for which the images must exist; may be repeated",
      collect,
    )
    .option("--profile <name>", "also the services of this compose profile; may be repeated", collect)
    .option("--target <stage>", "the stage to build of Dockerfiles that no compose file builds; the last by default");
}

/** `check`, without the options that all commands of a job share. */
export function checkCommand(): Command {
  return withTreeOptions(new Command("check"))
    .description("check whether the images that Dockerfiles and compose files name can be pulled")
    .option("--dir <folder>", "the folder to search, with its subfolders", ".")
    .option(
      "--require-covered",
      "also fail for an image that no registry entry covers, because it is pulled without a login",
    )
    .addOption(new Option("--output <form>", "how to print the result").choices(reportForms).default("table"))
    .addHelpText(
      "after",
      `
It lists what \`docker compose build\` and \`docker compose up\` pull in folders with a compose file, and what \`docker build\`
pulls for other Dockerfiles, without stages that the target does not need. What it cannot follow (a Git context, a
cache, a remote include) is listed as passed-over, and fails with --require-covered.
The exit code is 1 when an image fails.

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
  if (flags.output === "table") terminal.say(`Checked ${checked.length}, of which ${failing} cannot be pulled.`);
  return failing > 0 ? exitCodes.failed : exitCodes.done;
}

/**
 * What Dockerfiles and compose files name. Says what is not read, and what cannot be resolved.
 * @throws CommandFailure when the folder cannot be read, or an option is not valid
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

function mentionsBelow({ environment }: CommandContext, directory: string, flags: TreeFlags) {
  const { buildArg = [], platform: platforms = [], profile: profiles, target } = flags;
  const buildArgs = new Map(
    buildArg.map((text): [string, string] => {
      const equals = text.indexOf("=");
      // As in docker, a name alone takes its value from the environment.
      if (equals === -1) return [text, environment[text] ?? ""];
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
  if (platforms.some((platform) => !/^[a-z0-9_]+\/[a-z0-9_]+(?:\/[a-z0-9_.]+)?$/.test(platform)))
    throw new CommandFailure(exitCodes.usage, "--platform: write os/architecture, such as linux/arm64.");
  const variables = (name: string): string | undefined => environment[name];
  return findMentions({ directory, buildArgs, platforms, variables, profiles, target });
}

/**
 * The result for a mention. Besides the outcomes of the service: `unresolved` when the image is not known, `passed-over`
 * when something was not checked.
 */
export type Checked = {
  mention: Mention;
  outcome: string;
  message: string;
  code?: string;
  entry?: string;
  digest?: string;
  platforms?: readonly string[];
};

type Verdict = Omit<Checked, "mention">;

/** Limit of the service for one request. */
const maxReferences = 100;

/**
 * Asks the service about every image that is mentioned, for the platforms that it is pulled for.
 * @throws CommandFailure when it does not answer
 */
export async function checkMentions(client: JobClient, mentions: readonly Mention[]): Promise<Checked[]> {
  const byPlatforms = new Map<string, Set<string>>();
  for (const mention of mentions) {
    if (!("reference" in mention)) continue;
    const key = platformsKey(mention);
    byPlatforms.set(key, (byPlatforms.get(key) ?? new Set()).add(mention.reference));
  }
  const verdicts = new Map<string, Verdict>();
  for (const [key, wanted] of byPlatforms) {
    const references = [...wanted];
    for (let from = 0; from < references.length; from += maxReferences) {
      const some = references.slice(from, from + maxReferences);
      const items = await ask(client, some, key === "" ? [] : key.split(","));
      for (const [index, reference] of some.entries()) verdicts.set(`${key} ${reference}`, verdictOf(items[index]));
    }
  }
  return mentions.map((mention) => {
    if ("unresolved" in mention) return { mention, outcome: "unresolved", message: mention.unresolved };
    if ("passedOver" in mention) return { mention, outcome: "passed-over", message: mention.passedOver };
    return { mention, ...(verdicts.get(`${platformsKey(mention)} ${mention.reference}`) ?? verdictOf(undefined)) };
  });
}

const platformsKey = ({ platforms = [] }: { platforms?: readonly string[] }): string => platforms.toSorted().join(",");

async function ask(
  client: JobClient,
  references: readonly string[],
  platforms: readonly string[],
): Promise<readonly unknown[]> {
  const body = JSON.stringify({ references, ...(platforms.length > 0 && { platforms }) });
  const answer = await askOfFactory(client, { method: "POST", path: "references:check", body });
  if (answer.status !== 200) throw await explainAnswer(client, answer);
  const items = listAt(answer.body, "items");
  if (items.length === references.length) return items;
  throw unknownAnswer(client.settings.url);
}

function verdictOf(item: unknown): Verdict {
  const code = sentenceAt(item, "code");
  const entry = sentenceAt(item, "entry");
  const digest = sentenceAt(item, "digest");
  const platforms = listAt(item, "platforms").filter((name) => typeof name === "string");
  return {
    outcome: sentenceAt(item, "outcome") ?? "unknown",
    message: sentenceAt(item, "message") ?? "",
    ...(code !== undefined && { code }),
    ...(entry !== undefined && { entry }),
    ...(digest !== undefined && { digest }),
    ...(platforms.length > 0 && { platforms }),
  };
}
