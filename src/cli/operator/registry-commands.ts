import type { Command } from "commander";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, type JsonObject } from "../client/json-value.js";
import { ask, listAll, pathOf } from "./ask-service.js";
import { type CommandDeps, group, type Run, serviceCommand } from "./define-command.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";
import { confirm } from "./person.js";
import { cellAt, type OutputFlags, printItems, printOne, printReply } from "./print-reply.js";
import { readDocument } from "./read-document.js";
import { entryColumns } from "./registry-columns.js";
import { sayWarnings } from "./say-warnings.js";

/** `registries ...`. */
export function registryCommands(deps: CommandDeps): Command {
  return group(
    "registries",
    "the entries of the factory config, one at a time; all else in it stays as it is",
    [listCommand(deps), showCommand(deps), addCommand(deps), setCommand(deps), rmCommand(deps)],
    "factory-secrets registries add --type generic --host registry.gitlab.com --secret gitlab_creds",
  );
}

const registryPath = (client: OperatorClient, ...id: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "registries", ...id);

type EntryFlags = {
  type?: string;
  secret?: string;
  host?: readonly string[];
  region?: string;
  profile?: string;
  azureTenantId?: string;
  roleArn?: string;
  azureClientId?: string;
  workloadIdentityProvider?: string;
  serviceAccount?: string;
  passThrough?: boolean;
  relayStream?: boolean;
  fromFile?: string;
};

type ChangeFlags = OutputFlags & EntryFlags & { reason?: string; allowMissingSecrets?: boolean };

const idOperand = ["<id>", "its id: the host, or type[:region[:profile]]"] as const;

const entryOptions = [
  ["--secret <name>", "the secret that opens it"],
  ["--host <host>", "its host; for gar may be repeated"],
  ["--region <region>", "aws: when the host does not tell it"],
  ["--profile <name>", "aws: the section of the credentials file"],
  ["--azure-tenant-id <id>", "azure: the tenant of the principal"],
  ["--role-arn <arn>", "aws, instead of a secret: the role that trusts this factory"],
  ["--azure-client-id <id>", "azure, instead of a secret: the application; needs --azure-tenant-id"],
  ["--workload-identity-provider <name>", "gar, instead of a secret: projects/.../providers/NAME"],
  ["--service-account <email>", "gar: the account that the provider's identity may act as"],
  ["--pass-through", "generic: hand out the secret itself, where the operator allows it"],
  ["--relay-stream", "the relay sends blobs itself instead of handing on the registry's redirects"],
  ["--from-file <file>", "the entry as YAML or JSON, with the members of the API; - is standard input"],
] as const;

const changeOptions = [
  ["--reason <text>", "why; kept in the history and the audit"],
  ["--allow-missing-secrets", "although the secret does not exist yet"],
] as const;

const typeChoice = ["--type <type>", "its kind", ["aws", "azure", "gar", "generic"]] as const;

const listCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    { name: "list", about: "all entries", prints: true, example: "factory-secrets registries list" },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, registryPath(client)), entryColumns),
  );

const showCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "show",
      about: "one entry",
      operands: [idOperand],
      prints: true,
      example: "factory-secrets registries show registry.gitlab.com",
    },
    async ({ context, client }, { output }, [id = ""]) =>
      printOne(context, output, (await ask(client, { method: "GET", path: registryPath(client, id) })).body),
  );

const addCommand = (deps: CommandDeps): Command =>
  serviceCommand<ChangeFlags>(
    deps,
    {
      name: "add",
      about: "add an entry",
      options: [...entryOptions, ...changeOptions],
      choices: [typeChoice],
      prints: true,
      example: "factory-secrets registries add --type aws --region us-east-2 --secret aws_creds",
    },
    async (run, flags) => {
      refuseUrlOfRegistry(run, flags);
      const path = registryPath(run.client);
      const json = await entryOf(run, flags, {});
      await write(run, flags, { method: "POST", path, json }, "Added");
    },
  );

const setCommand = (deps: CommandDeps): Command =>
  serviceCommand<ChangeFlags>(
    deps,
    {
      name: "set",
      about: "change an entry; what is not named stays, unless a file gives the whole",
      operands: [idOperand],
      options: [...entryOptions, ...changeOptions],
      choices: [typeChoice],
      prints: true,
      example: "factory-secrets registries set registry.gitlab.com --secret gitlab_creds_2",
    },
    async (run, flags, [id = ""]) => {
      refuseUrlOfRegistry(run, flags);
      const path = registryPath(run.client, id);
      const { body, etag } = await ask(run.client, { method: "GET", path });
      const { id: _, ...present } = isObject(body) ? body : {};
      const json = await entryOf(run, flags, present);
      await write(run, flags, { method: "PUT", path, json, ifMatch: etag }, "Changed");
    },
  );

const rmCommand = (deps: CommandDeps): Command =>
  serviceCommand<ChangeFlags & { yes?: boolean }>(
    deps,
    {
      name: "rm",
      about: "remove an entry: its registry gives no more tokens",
      operands: [idOperand],
      options: [...changeOptions, ["-y, --yes", "do not ask"]],
      example: "factory-secrets registries rm registry.gitlab.com --reason 'no longer used'",
    },
    async (run, flags, [id = ""]) => {
      const path = registryPath(run.client, id);
      await confirm(
        run.context.person,
        flags.yes,
        `The entry ${id} would be removed, and jobs would get no more tokens for it.`,
      );
      const { body } = await ask(run.client, { method: "DELETE", path, query: queryOf(flags) });
      // Every version is made from the one before it, under a lock: that one is what it was.
      const before = Number(cellAt(body, "version")) - 1;
      run.context.terminal.say(`Removed ${id}. To undo: factory-secrets config restore ${before}`);
    },
  );

const queryOf = ({ reason, allowMissingSecrets }: ChangeFlags) => ({
  reason,
  allowMissingSecrets: allowMissingSecrets === true ? true : undefined,
});

/** `url` is a member of an entry, and `--url` is the service: a token must not go to a registry by that mistake. */
function refuseUrlOfRegistry({ client }: Run, { host = [], fromFile }: EntryFlags): void {
  const { hostname } = new URL(client.connection.url);
  const isRegistry =
    /(?:^|\.)(?:amazonaws\.com(?:\.cn)?|azurecr\.(?:io|cn|us)|pkg\.dev|gcr\.io|ghcr\.io|docker\.(?:io|com)|quay\.io)$|^registry[.-]/;
  if (host.length > 0 || fromFile !== undefined || !isRegistry.test(hostname)) return;
  throw new CommandFailure(
    exitCodes.usage,
    `--url is where factory-secrets is, and ${hostname} looks like a registry. Nothing was sent. Name the registry with --host ${hostname}.`,
  );
}

/** The members of an entry that name what trusts the factory, where it has no secret. */
const keyless = ["awsRoleArn", "azureClientId", "garWorkloadIdentityProvider", "garServiceAccount"];

/** The entry as the API takes it. @throws CommandFailure when nothing is said of it */
async function entryOf({ context }: Run, flags: EntryFlags, present: JsonObject): Promise<JsonObject> {
  const { fromFile, host = [] } = flags;
  const base = fromFile === undefined ? present : await readDocument(context, fromFile);
  const isSeveral = host.length > 1 || ((flags.type ?? base.type) === "gar" && "hosts" in base);
  const said = saidOf(flags, isSeveral);
  if (fromFile === undefined && Object.keys(said).length === 0)
    throw new CommandFailure(
      exitCodes.usage,
      "Say what the entry shall be, such as --secret NAME, or --from-file FILE.",
    );
  // An entry has one host or a list of them, and a secret or what stands in its place.
  const replaced = [
    ...(host.length > 0 ? ["url", "hosts"] : []),
    ...("secretName" in said ? keyless : []),
    ...(keyless.some((member) => member in said) ? ["secretName"] : []),
  ];
  const kept = Object.entries(base).filter(([member]) => !replaced.includes(member));
  return { ...Object.fromEntries(kept), ...said };
}

function saidOf(flags: EntryFlags, isSeveral: boolean): JsonObject {
  const { host = [], passThrough, relayStream } = flags;
  const members = {
    type: flags.type,
    secretName: flags.secret,
    url: isSeveral ? undefined : host[0],
    hosts: isSeveral && host.length > 0 ? host : undefined,
    region: flags.region,
    profile: flags.profile,
    azureTenantId: flags.azureTenantId,
    awsRoleArn: flags.roleArn,
    azureClientId: flags.azureClientId,
    garWorkloadIdentityProvider: flags.workloadIdentityProvider,
    garServiceAccount: flags.serviceAccount,
    passThrough: passThrough === true ? true : undefined,
    relay: relayStream === true ? "stream" : undefined,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

async function write(
  { context, client }: Run,
  flags: ChangeFlags,
  wanted: { method: "POST" | "PUT"; path: string; json: JsonObject; ifMatch?: string | undefined },
  verb: string,
): Promise<void> {
  const { body } = await ask(client, { ...wanted, query: queryOf(flags) });
  sayWarnings(context, body);
  await printReply(context, flags.output, body, () => {
    const entry = isObject(body) ? body.entry : undefined;
    return `${verb} ${cellAt(entry, "id")}, in version ${cellAt(body, "configVersion")} of the config.`;
  });
}
