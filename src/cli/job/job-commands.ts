import { join } from "node:path";
import { Command, Option } from "commander";
import type { Environment } from "../../settings/reader.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { objectAt } from "../client/json-value.js";
import { maskTexts, type Terminal, warnOfPrinting } from "../client/output.js";
import { documentOf, type OutputForm, outputForms } from "../client/print-document.js";

import { type CommandContext, openClient, type TokenFlags, wantedBy } from "./command-context.js";
import {
  basicOf,
  changeDockerConfig,
  formatConfig,
  hostOfKey,
  keyOfHost,
  ownHelper,
  withAuths,
} from "./docker-config.js";

import { explain, explanationText, viewOfExplanation } from "./explain.js";
import { login, logout } from "./login.js";
import { materializeCommand, runMaterialize } from "./materialize.js";
import { checkCommand, readTree, runCheck, type TreeFlags, withTreeOptions } from "./references/check-command.js";
import { wantedFor } from "./references/wanted-for.js";
import { type Credential, failureLine, type RegistryToken, tokenTable, viewOf } from "./registry-token.js";
import { loginToRelay } from "./relay-login.js";
import { relayCommand, runRelay } from "./relay-names.js";
import { type JobClient, requestTokens, type Wanted } from "./request-tokens.js";
import { runWithLogin } from "./run-command.js";
import { runServeCredentials, serveCredentialsCommand } from "./serve-credentials.js";

const tokenFormats = ["secret", "json", "docker-config"] as const;

type TokenFormat = (typeof tokenFormats)[number];

/** One token as text. @throws CommandFailure when there are several, or none */
function printToken(tokens: readonly RegistryToken[], format: TokenFormat): string {
  const [token, ...more] = tokens;
  if (!token || more.length > 0) {
    const hosts = tokens.map(({ registry }) => registry).join(", ");
    throw new CommandFailure(
      exitCodes.usage,
      `--registry matches ${tokens.length} registries (${hosts}), and only one token is printed. Name one host.`,
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

/** Does the work of a command and returns its exit code. */
type Work<Flags> = (context: CommandContext, flags: Flags, operands: readonly string[]) => Promise<number>;

/**
 * The commands of a job: `ci ...` and `configure-docker`.
 * @param finish - takes the exit code of the command
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
  ci.addCommand(withServiceOptions(relayCommand()).action(action(runRelay)));
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
The job's identity is the first of these that is set: FACTORY_SECRETS_TOKEN, FACTORY_SECRETS_ID_TOKEN, the ID token of
GitHub, Buildkite or Kubernetes. Exit codes: 0 done, 1 a problem on this machine, 2 wrong usage or settings,
3 no identity, 4 identity not accepted, 5 registry or repository refused, 6 service down or busy.

Example:
  export FACTORY_SECRETS_URL=https://secrets.example.com FACTORY_SECRETS_FACTORY=acme
  factory-secrets ci login && docker pull registry.gitlab.com/acme/base:1`;

const example = (lines: string): string => `\nExample:\n${lines.replace(/^/gm, "  ")}`;

const collect = (value: string, earlier: readonly string[] = []): string[] => [...earlier, value];

function withServiceOptions(command: Command): Command {
  return command
    .option("--url <url>", "where the service is (FACTORY_SECRETS_URL)")
    .option("--factory <name>", "name of the factory (FACTORY_SECRETS_FACTORY)")
    .option("--ca-file <path>", "further authorities to trust, PEM (FACTORY_SECRETS_CA_FILE)")
    .option("--audience <text>", "audience of the ID token (FACTORY_SECRETS_AUDIENCE; default: the URL)")
    .option("--timeout <seconds>", "how long to retry; 60 by default");
}

function withTokenOptions(command: Command): Command {
  return withServiceOptions(command)
    .option("--registry <host>", "only this registry; may be repeated", collect)
    .option("--repository <name>", "only this repository of the one registry; may be repeated", collect)
    .option("--allow-partial", "continue when some registries give no token")
    .option("--allow-broader", "accept a token for more repositories when the cloud cannot limit it");
}

const outputOption = (): Option =>
  new Option("-o, --output <form>", "how to print it").choices(outputForms).default("table");

function loginCommand(): Command {
  return new Command("login")
    .description("write registry tokens into docker's config.json; everything else in it stays")
    .option("--relay", "write the job's own credential, for pulls through the relay of this service")
    .option("--for <folder>", "only the repositories that Dockerfiles and compose files in it name")
    .addOption(outputOption())
    .addHelpText("after", example("factory-secrets ci login --registry registry.gitlab.com --repository acme/base"));
}

type LoginFlags = TokenFlags & OutputFlags & TreeFlags & { for?: string; relay?: true };

async function runLogin(context: CommandContext, flags: LoginFlags): Promise<number> {
  const { environment, terminal, dockerDirectory } = context;
  const client = openClient(context, flags);
  if (flags.relay) return runRelayLogin(context, client, flags);
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
  for (const host of done.asksItself)
    terminal.say(`${host}: not written, because docker gets its token from docker-credential-factory-secrets.`);
  for (const failure of done.failures) terminal.say(failureLine(failure));
  if (done.tokens.some(({ kind }) => kind === "bearer"))
    terminal.say(
      "Bearer tokens work with docker, BuildKit, buildx, crane, oras and helm; not with podman, buildah and regctl. For skopeo pass the output of `ci token` as --src-registry-token.",
    );
  return exitCode;
}

async function runRelayLogin(context: CommandContext, client: JobClient, flags: LoginFlags): Promise<number> {
  const { environment, terminal, dockerDirectory } = context;
  if (flags.for !== undefined || flags.registry !== undefined || flags.repository !== undefined)
    throw new CommandFailure(
      exitCodes.usage,
      "--relay logs in to this service alone: leave --for, --registry and --repository out.",
    );
  const { login, password } = await loginToRelay(client, dockerDirectory);
  const { relay, username, configPath, expiresAt } = login;
  maskCredentials(environment, terminal, [{ kind: "password", username, password }]);
  if (flags.output !== "table") terminal.out(await documentOf(flags.output, login));
  else {
    terminal.out(`Logged in to ${relay}. Written to ${configPath}.`);
    terminal.out(`Images are named ${relay}/${username}/<registry>/<repository>.`);
    if (expiresAt !== undefined) terminal.say(`It is ${client.identity.description}, and works until ${expiresAt}.`);
  }
  return exitCodes.done;
}

function logoutCommand(): Command {
  return new Command("logout")
    .description("remove what login wrote")
    .addHelpText("after", example("factory-secrets ci logout"));
}

async function runLogout({ terminal, dockerDirectory }: CommandContext): Promise<number> {
  const { configPath, removed, kept } = await logout(dockerDirectory);
  terminal.say(
    removed.length > 0
      ? `Removed ${removed.join(", ")} from ${configPath}.`
      : `Nothing was removed: ${configPath} has no login of factory-secrets.`,
  );
  for (const key of kept) terminal.say(`${key}: kept, because another login has replaced ours.`);
  return exitCodes.done;
}

function execCommand(): Command {
  return new Command("exec")
    .description("run a command with a temporary docker configuration that has the tokens")
    .argument("<command...>", "what to run, after --")
    .addHelpText(
      "after",
      `\nThe exit code is that of the command, 128 and the signal's number after a signal, or 125 when the command was not\nstarted.\n${example("factory-secrets ci exec -- docker buildx build --push -t registry.gitlab.com/acme/app:1 .")}`,
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
    // Any other code is that of the command.
    throw new CommandFailure(exitCodes.notStarted, error.message);
  }
}

function tokenCommand(): Command {
  return new Command("token")
    .description("print the token of one registry, alone")
    .requiredOption("--registry <host>", "the registry")
    .option("--repository <name>", "only this repository; may be repeated", collect)
    .option("--allow-broader", "accept a token for more repositories when the cloud cannot limit it")
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
    .description("show why a registry or a repository is refused")
    .option("--registry <host>", "only this registry; may be repeated", collect)
    .option("--repository <name>", "only this repository of the one registry; may be repeated", collect)
    .addOption(outputOption())
    .addHelpText(
      "after",
      `\nIt requests tokens as login does, so the audit shows it, and discards them.\n${example("factory-secrets ci explain --registry registry.gitlab.com --repository acme/base")}`,
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
    .description("have docker get tokens from docker-credential-factory-secrets when it needs them")
    .option(
      "--registry <host>",
      "only this registry; may be repeated. Without it: every registry that this job may pull from",
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
    terminal.say(
      `${host}: not configured. It gives a bearer token, and a credential helper can pass only a password to docker. Use: factory-secrets ci login --registry ${host}`,
    );
  if (hosts.length === 0)
    throw new CommandFailure(
      exitCodes.refused,
      "Nothing was configured: no registry gives this job a password. To see why: factory-secrets ci explain",
    );
  terminal.say(`Written to ${configPath}. docker-credential-factory-secrets must be in the PATH of docker.`);
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
  /** Registries that give bearer tokens only. */
  bearers: readonly string[];
};

/** The given hosts, normalised. @throws CommandFailure when one is not a host */
function hostsNamed(registries: readonly string[]): string[] {
  return registries.map((registry) => {
    const host = hostOfKey(registry);
    if (host !== undefined) return host;
    throw new CommandFailure(
      exitCodes.usage,
      `--registry ${registry}: write the host of a registry, such as registry.gitlab.com.`,
    );
  });
}

function hostsOfTokens(tokens: readonly RegistryToken[]): Pick<Configured, "hosts" | "bearers"> {
  const hosts = tokens.filter(({ kind }) => kind === "password").map(({ registry }) => registry);
  return { hosts, bearers: tokens.filter(({ kind }) => kind === "bearer").map(({ registry }) => registry) };
}

/** Sets our credential helper for these hosts. All other members of `config.json` stay as they are. */
async function configureDocker(directory: string, hosts: readonly string[]): Promise<string> {
  const ours = Object.fromEntries(hosts.map((host) => [keyOfHost(host), ownHelper]));
  await changeDockerConfig(directory, async (config) => {
    if (hosts.length === 0) return config;
    return { ...config, credHelpers: { ...objectAt(config, "credHelpers"), ...ours } };
  });
  return join(directory, "config.json");
}

/** Masks every part of these tokens in the job's log, before anything is printed. */
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

/** `undefined`: nothing needs a login. The exit code is not 0 when the name of an image could not be resolved. */
type TreeWants = { wanted: Wanted | undefined; exitCode: number };

/**
 * What `ci login --for` asks for: what Dockerfiles and compose files name and the caller may have.
 * @throws CommandFailure when the service does not answer, or an option is not valid
 */
async function wantedForTree(
  context: CommandContext,
  client: JobClient,
  flags: TokenFlags & TreeFlags & { directory: string },
): Promise<TreeWants> {
  if ((flags.registry ?? []).length > 0)
    throw new CommandFailure(
      exitCodes.usage,
      "--for and --registry are both given. Keep one: --for finds the registries in the files.",
    );
  const { terminal } = context;
  const { directory } = flags;
  const mentions = await readTree(context, directory, flags);
  const allowed = wantedBy(flags);
  const isUnresolved = mentions.some((mention) => "unresolved" in mention) && flags.allowPartial !== true;
  if (isUnresolved)
    terminal.say(
      "The name of an image above could not be resolved. Pass its variable with --build-arg, or pass --allow-partial to go on without it.",
    );
  const exitCode = isUnresolved ? exitCodes.failed : exitCodes.done;
  const { requests, withoutLogin } = await wantedFor(client, mentions, allowed);
  for (const host of withoutLogin)
    terminal.say(
      `${host}: no registry entry or no grant of this job covers it; images are pulled from it without a login.`,
    );
  if (requests.length > 0) return { wanted: { ...allowed, requests }, exitCode };
  if (!isUnresolved) terminal.say(`Nothing in ${directory} needs a login.`);
  return { wanted: undefined, exitCode };
}
