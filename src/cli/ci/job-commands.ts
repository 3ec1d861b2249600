import { join } from "node:path";
import { Command, Option } from "commander";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { objectAt } from "../client/json-value.js";
import { maskTexts, warnOfPrinting } from "../client/mask.js";
import { documentOf, type OutputForm, outputForms } from "../client/print-document.js";
import type { Terminal } from "../client/terminal.js";
import { type CommandContext, openClient, type TokenFlags, wantedBy } from "./command-context.js";
import { basicOf, hostOfKey, keyOfHost, withAuths } from "./docker-config/auth-entries.js";
import { changeDockerConfig, formatConfig } from "./docker-config/config-file.js";
import { ownHelper } from "./docker-config/credential-stores.js";
import { explain, explanationText, viewOfExplanation } from "./explain.js";
import { login, logout } from "./login.js";
import { materializeCommand, runMaterialize } from "./materialize.js";
import { checkCommand, mentionsBelow, runCheck, type TreeFlags, withTreeOptions } from "./references/check-command.js";
import { wantedFor } from "./references/wanted-for.js";
import type { Credential, RegistryToken } from "./registry-token.js";
import { type JobClient, requestTokens, type Wanted } from "./request-tokens.js";
import { runWithLogin } from "./run-with-login.js";
import { runServeCredentials, serveCredentialsCommand } from "./serve-credentials.js";
import { failureLine, tokenTable, viewOf } from "./show-tokens.js";

/** How `ci token` prints a token. */
const tokenFormats = ["secret", "json", "docker-config"] as const;

type TokenFormat = (typeof tokenFormats)[number];

/** One token as text. @throws CommandFailure when there are several, or none */
function printToken(tokens: readonly RegistryToken[], format: TokenFormat): string {
  const [token, ...more] = tokens;
  if (!token || more.length > 0) {
    const hosts = tokens.map(({ registry }) => registry).join(", ");
    throw new CommandFailure(
      exitCodes.usage,
      `--registry names ${tokens.length} registries (${hosts}) and one token is printed. Name one host.`,
    );
  }
  switch (format) {
    case "secret":
      return token.kind === "bearer" ? token.bearer : token.password;
    case "json":
      return JSON.stringify(token);
    case "docker-config":
      return formatConfig(withAuths({}, [token])).trimEnd();
    default:
      return format satisfies never;
  }
}

type OutputFlags = { output: OutputForm };

/** What a command does, and its exit code. */
type Work<Flags> = (context: CommandContext, flags: Flags, operands: readonly string[]) => Promise<number>;

/**
 * The commands of a job: `ci ...` and `configure-docker`.
 * @param finish - is told the exit code of a command that has run
 */
export function jobCommands(open: () => CommandContext, finish: (exitCode: number) => void): Command[] {
  const action =
    <Flags>(work: Work<Flags>) =>
    async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1);
      if (command instanceof Command)
        finish(await work(open(), command.opts<Flags & Record<string, unknown>>(), command.args));
    };
  const ci = new Command("ci").description("registry tokens in a CI job").addHelpText("after", ciHelp);
  ci.addCommand(withTreeOptions(withTokenOptions(loginCommand())).action(action(runLogin)));
  ci.addCommand(logoutCommand().action(action(runLogout)));
  ci.addCommand(withTokenOptions(execCommand()).action(action(runExec)));
  ci.addCommand(withServiceOptions(tokenCommand()).action(action(runToken)));
  ci.addCommand(withServiceOptions(explainCommand()).action(action(runExplain)));
  ci.addCommand(withServiceOptions(serveCredentialsCommand()).action(action(runServeCredentials)));
  ci.addCommand(withTokenOptions(materializeCommand()).action(action(runMaterialize)));
  const check = withServiceOptions(checkCommand()).action(action(runCheck));
  return [ci, check, withServiceOptions(configureCommand()).action(action(runConfigure))];
}

const ciHelp = `
The job's identity is found by itself: FACTORY_SECRETS_TOKEN, FACTORY_SECRETS_ID_TOKEN, GitHub's, Buildkite's or
Kubernetes' ID token. Exit codes: 0 done, 1 something here is in the way, 2 wrong usage or settings, 3 no identity,
4 identity not accepted, 5 registry or repository refused, 6 service down or busy.

Example:
  export FACTORY_SECRETS_URL=https://secrets.example.com FACTORY_SECRETS_FACTORY=acme
  factory-secrets ci login && docker pull registry.gitlab.com/acme/base:1`;

const example = (lines: string): string => `\nExample:\n${lines.replace(/^/gm, "  ")}`;

const collect = (value: string, earlier: readonly string[] = []): string[] => [...earlier, value];

function withServiceOptions(command: Command): Command {
  return command
    .option("--url <url>", "where the service is (FACTORY_SECRETS_URL)")
    .option("--factory <name>", "whose factory (FACTORY_SECRETS_FACTORY)")
    .option("--ca-file <path>", "further authorities to trust, PEM (FACTORY_SECRETS_CA_FILE)")
    .option("--audience <text>", "audience of the ID token that is asked for (FACTORY_SECRETS_AUDIENCE; the URL)")
    .option("--timeout <seconds>", "how long to keep trying; 60 by default");
}

function withTokenOptions(command: Command): Command {
  return withServiceOptions(command)
    .option("--registry <host>", "only this registry; may be repeated", collect)
    .option("--repository <name>", "only this repository of the one registry; may be repeated", collect)
    .option("--allow-partial", "go on when some registries give no token")
    .option("--allow-broader", "take a token that reaches more repositories where the cloud cannot limit it");
}

const outputOption = (): Option =>
  new Option("-o, --output <form>", "how to print it").choices(outputForms).default("table");

function loginCommand(): Command {
  return new Command("login")
    .description("write registry tokens into docker's config.json, beside what stands there")
    .option("--for <folder>", "only the repositories that Dockerfiles and compose files in it name")
    .addOption(outputOption())
    .addHelpText("after", example("factory-secrets ci login --registry registry.gitlab.com --repository acme/base"));
}

type LoginFlags = TokenFlags & OutputFlags & TreeFlags & { for?: string };

async function runLogin(context: CommandContext, flags: LoginFlags): Promise<number> {
  const { environment, terminal, dockerDirectory } = context;
  const client = openClient(context, flags);
  const { wanted, exitCode }: TreeWants =
    flags.for === undefined
      ? { wanted: wantedBy(flags), exitCode: exitCodes.done }
      : await wantedForTree(context, client, { ...flags, directory: flags.for });
  if (wanted === undefined) {
    if (flags.output !== "table") terminal.out(await documentOf(flags.output, { items: [], failures: [] }));
    return exitCode;
  }
  const done = await login(client, dockerDirectory, wanted);
  maskCredentials(environment, terminal, done.tokens);
  if (flags.output !== "table") {
    const { configPath, asksItself, failures } = done;
    const view = { configPath, items: done.tokens.map(viewOf), asksItself, failures };
    terminal.out(await documentOf(flags.output, view));
    return exitCode;
  }
  if (done.tokens.length > 0) terminal.out(`${tokenTable(done.tokens)}\nWritten to ${done.configPath}.`);
  for (const host of done.asksItself) terminal.say(`${host}: docker asks docker-credential-factory-secrets by itself.`);
  for (const failure of done.failures) terminal.say(failureLine(failure));
  if (done.tokens.some(({ kind }) => kind === "bearer"))
    terminal.say(
      "A bearer is read by docker, BuildKit, buildx, crane, oras and helm; not by podman, buildah and regctl. For skopeo: --src-registry-token, from `ci token`.",
    );
  return exitCode;
}

function logoutCommand(): Command {
  return new Command("logout")
    .description("remove what login wrote, and nothing else")
    .addHelpText("after", example("factory-secrets ci logout"));
}

async function runLogout({ terminal, dockerDirectory }: CommandContext): Promise<number> {
  const { configPath, removed, kept } = await logout(dockerDirectory);
  terminal.say(removed.length > 0 ? `Removed ${removed.join(", ")} from ${configPath}.` : "Nothing of ours was there.");
  for (const key of kept) terminal.say(`${key}: somebody has logged in there since. It is left as it is.`);
  return exitCodes.done;
}

function execCommand(): Command {
  return new Command("exec")
    .description("run a command with a docker configuration of its own, which is removed after it")
    .argument("<command...>", "what to run, after --")
    .addHelpText(
      "after",
      `\nIt ends with the command's own exit code, 128 and the signal's number after a signal, 125 when the command was\nnot started.\n${example("factory-secrets ci exec -- docker buildx build --push -t registry.gitlab.com/acme/app:1 .")}`,
    );
}

async function runExec(context: CommandContext, flags: TokenFlags, command: readonly string[]): Promise<number> {
  const { environment, terminal, dockerDirectory } = context;
  try {
    const { tokens, failures } = await requestTokens(openClient(context, flags), wantedBy(flags));
    maskCredentials(environment, terminal, tokens);
    for (const failure of failures) terminal.say(failureLine(failure));
    return await runWithLogin(environment, dockerDirectory, tokens, command);
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    // All other numbers are the command's.
    throw new CommandFailure(exitCodes.notStarted, error.message);
  }
}

function tokenCommand(): Command {
  return new Command("token")
    .description("print the token of one registry, and nothing else")
    .requiredOption("--registry <host>", "whose token")
    .option("--repository <name>", "only this repository; may be repeated", collect)
    .option("--allow-broader", "take a token that reaches more repositories where the cloud cannot limit it")
    .addOption(new Option("--format <form>", "what to print").choices(tokenFormats).default("secret"))
    .addHelpText(
      "after",
      example(
        'TOKEN=$(factory-secrets ci token --registry registry.gitlab.com --repository acme/base)\nskopeo inspect --registry-token "$TOKEN" docker://registry.gitlab.com/acme/base:1',
      ),
    );
}

type OneTokenFlags = Omit<TokenFlags, "registry"> & { registry: string; format: TokenFormat };

async function runToken(context: CommandContext, flags: OneTokenFlags): Promise<number> {
  const { environment, terminal } = context;
  const wanted = wantedBy({ ...flags, registry: [flags.registry] });
  const { tokens } = await requestTokens(openClient(context, flags), wanted);
  const text = printToken(tokens, flags.format);
  maskCredentials(environment, terminal, tokens);
  warnOfPrinting(environment, terminal);
  terminal.out(text);
  return exitCodes.done;
}

function explainCommand(): Command {
  return new Command("explain")
    .description("why a registry or a repository is refused")
    .option("--registry <host>", "only this registry; may be repeated", collect)
    .option("--repository <name>", "only this repository of the one registry; may be repeated", collect)
    .addOption(outputOption())
    .addHelpText(
      "after",
      `\nIt asks as login does (the audit shows it) and forgets the tokens.\n${example("factory-secrets ci explain --registry registry.gitlab.com --repository acme/base")}`,
    );
}

async function runExplain(context: CommandContext, flags: TokenFlags & OutputFlags): Promise<number> {
  const explanation = await explain(openClient(context, flags), wantedBy(flags));
  const { output } = flags;
  const text =
    output === "table" ? explanationText(explanation) : await documentOf(output, viewOfExplanation(explanation));
  context.terminal.out(text);
  return explanation.exitCode;
}

function configureCommand(): Command {
  return new Command("configure-docker")
    .description("have docker ask docker-credential-factory-secrets for the factory's registries, when it needs them")
    .option(
      "--registry <host>",
      "only this registry; may be repeated. Without it: all that this job may pull from",
      collect,
    )
    .addHelpText(
      "after",
      example("factory-secrets configure-docker --registry 123456789012.dkr.ecr.us-east-2.amazonaws.com"),
    );
}

async function runConfigure(context: CommandContext, flags: TokenFlags): Promise<number> {
  const { terminal, dockerDirectory } = context;
  const { hosts, bearers } = await hostsToConfigure(context, flags);
  const configPath = await configureDocker(dockerDirectory, hosts);
  for (const host of hosts) terminal.out(host);
  for (const host of bearers)
    terminal.say(`${host} gives a bearer, which a credential helper cannot hand to docker: use \`ci login\` for it.`);
  if (hosts.length === 0) throw new CommandFailure(exitCodes.refused, "There is no registry to configure.");
  terminal.say(`Written to ${configPath}. docker finds docker-credential-factory-secrets through PATH.`);
  return exitCodes.done;
}

async function hostsToConfigure(context: CommandContext, flags: TokenFlags) {
  if (flags.registry && flags.registry.length > 0) return { hosts: hostsNamed(flags.registry), bearers: [] };
  const all = { registries: [], repositories: [], allowPartial: true, allowBroader: false };
  const { tokens, failures } = await requestTokens(openClient(context, flags), all);
  for (const failure of failures) context.terminal.say(failureLine(failure));
  return hostsOfTokens(tokens);
}

type Configured = {
  configPath: string;
  hosts: readonly string[];
  /** Registries that only give bearers, which a credential helper cannot hand to docker. */
  bearers: readonly string[];
};

/** The hosts that were named, as docker spells them. @throws CommandFailure for what is no host */
function hostsNamed(registries: readonly string[]): string[] {
  return registries.map((registry) => {
    const host = hostOfKey(registry);
    if (host !== undefined) return host;
    throw new CommandFailure(exitCodes.usage, "--registry is the host of a registry, such as registry.gitlab.com.");
  });
}

/** What the factory's tokens say of its hosts. */
function hostsOfTokens(tokens: readonly RegistryToken[]): Pick<Configured, "hosts" | "bearers"> {
  const hosts = tokens.filter(({ kind }) => kind === "password").map(({ registry }) => registry);
  return { hosts, bearers: tokens.filter(({ kind }) => kind === "bearer").map(({ registry }) => registry) };
}

/** Has docker ask our credential helper for these hosts. All other members of `config.json` stay as they are. */
async function configureDocker(directory: string, hosts: readonly string[]): Promise<string> {
  const ours = Object.fromEntries(hosts.map((host) => [keyOfHost(host), ownHelper]));
  await changeDockerConfig(directory, async (config) => {
    if (hosts.length === 0) return config;
    return { ...config, credHelpers: { ...objectAt(config, "credHelpers"), ...ours } };
  });
  return join(directory, "config.json");
}

/** Has the CI system black out every part of these tokens in the job's log, before anything is printed. */
function maskCredentials(
  environment: Environment,
  terminal: Pick<Terminal, "command">,
  credentials: readonly Credential[],
): void {
  maskTexts(environment, terminal, credentials.flatMap(secretParts));
}

function secretParts(credential: Credential): string[] {
  if (credential.kind === "bearer") return [credential.bearer];
  return [credential.password, basicOf(credential.username, credential.password)];
}

/** `undefined`: nothing there needs a login. The exit code is not 0 when the name of an image could not be told. */
type TreeWants = { wanted: Wanted | undefined; exitCode: number };

/**
 * What `ci login --for` asks for: what Dockerfiles and compose files name, and the caller can have.
 * @throws CommandFailure when the service does not answer, or an option makes no sense
 */
async function wantedForTree(
  context: CommandContext,
  client: JobClient,
  flags: TokenFlags & TreeFlags & { directory: string },
): Promise<TreeWants> {
  if ((flags.registry ?? []).length > 0)
    throw new CommandFailure(exitCodes.usage, "--for finds the registries by itself: leave --registry out.");
  const { terminal } = context;
  const { directory } = flags;
  const { mentions, notes } = await mentionsBelow(context, directory, flags);
  for (const note of notes) terminal.say(note);
  for (const mention of mentions)
    if (!("reference" in mention))
      terminal.say(
        `${mention.file}:${mention.line}: ${"unresolved" in mention ? mention.unresolved : mention.passedOver}`,
      );
  const allowed = wantedBy(flags);
  const isUnresolved = mentions.some((mention) => "unresolved" in mention) && flags.allowPartial !== true;
  if (isUnresolved)
    terminal.say(
      "The name of an image could not be told. Give its argument with --build-arg, or pass --allow-partial.",
    );
  const exitCode = isUnresolved ? exitCodes.failed : exitCodes.done;
  const { requests, withoutLogin } = await wantedFor(client, mentions, allowed);
  for (const host of withoutLogin)
    terminal.say(`${host}: no registry entry is for it, or no grant of this job; it is pulled from without a login.`);
  if (requests.length > 0) return { wanted: { ...allowed, requests }, exitCode };
  if (!isUnresolved) terminal.say(`Nothing in ${directory} needs a login.`);
  return { wanted: undefined, exitCode };
}
