import { isVisible } from "../../core/visible-text.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, type JsonObject, listAt } from "../client/json-value.js";
import type { Answer } from "../client/send-once.js";
import { call, explainProblem, send } from "./call.js";
import { type Argument, nameOf, type Row, type Run } from "./command.js";
import { editConfig, findingLines, isAboutDocument, writtenSentence } from "./edit-config.js";
import { readDocument, readGivenFile } from "./given-input.js";
import { factoryOf } from "./operator-client.js";
import { filledIn, type OutputFlags, sayWarnings, tableOf } from "./print.js";
import { ifVersion } from "./secret-commands.js";

const file: Argument = ["<file>", "the document; - is standard input"];
const reason: Argument = ["--reason <text>", "why; kept in the history and the audit"];
const allowMissing: Argument = ["--allow-missing-secrets", "accept an entry whose secret does not exist yet"];

const entryColumns =
  "id type SECRET=secretName ROLE=awsRoleArn APPLICATION=azureClientId PROVIDER=garWorkloadIdentityProvider region profile TENANT=azureTenantId hosts PASS-THROUGH=passThrough RELAY=relay";

export const configRows: readonly Row[] = [
  {
    words: "config get",
    about: "print the document, byte for byte; with --output json or table, the entries found in it",
    options: [["--version <number>", "this version instead of the current one"]],
    run: getConfig,
    example: "factory-secrets config get > factory-config.yml",
  },
  {
    words: "config edit",
    about: "open the document in your editor, check it, publish it",
    options: [reason, allowMissing],
    more: "The editor is VISUAL, EDITOR or vi. A text that cannot be published can be edited again, and is kept in a file.",
    run: editConfig,
    example: 'EDITOR="code --wait" factory-secrets config edit --reason "one more registry"',
  },
  {
    words: "config check <file>",
    about: "check a document without publishing it; exit code 0: it is valid, 1: it is not",
    operands: [file],
    options: [allowMissing],
    run: checkConfig,
    example: "factory-secrets config check factory-config.yml",
  },
  {
    words: "config put <file>",
    about: "publish a document, as a new version",
    operands: [file],
    options: [reason, allowMissing, ifVersion],
    run: putConfig,
    example: 'factory-secrets config put factory-config.yml --reason "moved to us-east-2"',
  },
  {
    words: "config history",
    about: "the versions of the document, newest first",
    calls: "listConfigVersions",
    columns: "version current createdAt BY=createdBy restoredFrom reason",
  },
  {
    words: "config restore <version>",
    about: "publish an older version again, as a new one",
    options: [reason, allowMissing, ifVersion],
    calls: "restoreConfigVersion",
    prints: writtenSentence,
    example: 'factory-secrets config restore 3 --reason "the move did not work"',
  },
];

const entryId: Argument = ["<id>", "its id: the host, or type[:region[:profile]]"];

/** The members of an entry, and the file that can hold all of them. */
const entryOptions: readonly Argument[] = [
  ["--type <type>", "its kind", { choices: ["aws", "azure", "gar", "generic"] }],
  ["--secret <name>", "the secret that opens it", { to: "secretName" }],
  ["--host <host>", "its host; for gar may be repeated", { to: "hosts" }],
  ["--region <region>", "aws: when the host does not tell it"],
  ["--profile <name>", "aws: the section of the credentials file"],
  ["--azure-tenant-id <id>", "azure: the tenant of the principal"],
  ["--role-arn <arn>", "aws, instead of a secret: the role that trusts this factory", { to: "awsRoleArn" }],
  ["--azure-client-id <id>", "azure, instead of a secret: the application; needs --azure-tenant-id"],
  [
    "--workload-identity-provider <name>",
    "gar, instead of a secret: projects/.../providers/NAME",
    { to: "garWorkloadIdentityProvider" },
  ],
  [
    "--service-account <email>",
    "gar: the account that the provider's identity may act as",
    { to: "garServiceAccount" },
  ],
  ["--pass-through", "generic: hand out the secret itself, where the operator allows it"],
  ["--relay-stream", "the relay sends blobs itself instead of handing on the registry's redirects"],
];
const entryFile: Argument = [
  "--from-file <file>",
  "the entry as YAML or JSON, with the members of the API; - is standard input",
];

export const registryRows: readonly Row[] = [
  {
    words: "registries list",
    about: "all entries",
    calls: "listRegistries",
    columns: entryColumns,
  },
  {
    words: "registries show <id>",
    about: "one entry",
    operands: [entryId],
    calls: "getRegistry",
    example: "factory-secrets registries show registry.gitlab.com",
  },
  {
    words: "registries add",
    about: "add an entry",
    options: [...entryOptions, entryFile, reason, allowMissing],
    run: addEntry,
    example: "factory-secrets registries add --type aws --region us-east-2 --secret aws_creds",
  },
  {
    words: "registries set <id>",
    about: "change an entry; other members stay, unless a file gives the whole entry",
    operands: [entryId],
    options: [...entryOptions, entryFile, reason, allowMissing],
    run: changeEntry,
    example: "factory-secrets registries set registry.gitlab.com --secret gitlab_creds_2",
  },
  {
    words: "registries rm <id>",
    about: "remove an entry: its registry gives no more tokens",
    operands: [entryId],
    options: [reason, allowMissing],
    calls: "deleteRegistry",
    confirm: "The entry {id} would be removed, and jobs would get no more tokens for it.",
    // Every version is made from the one before it, under a lock.
    says: ({ id, version }) => `Removed ${id}. To undo: factory-secrets config restore ${Number(version) - 1}`,
    example: "factory-secrets registries rm registry.gitlab.com --reason 'no longer used'",
  },
];

type PublishFlags = { reason?: string; allowMissingSecrets?: boolean; ifVersion?: string };

const publication = ({ reason, allowMissingSecrets, ifVersion: number }: PublishFlags) => ({
  reason,
  allowMissingSecrets,
  "If-Match": number === undefined ? undefined : `"${number}"`,
});

async function getConfig(run: Run): Promise<void> {
  const { context, client } = run;
  const { version, output, json, query } = run.given<OutputFlags & { version?: string }>();
  const isDocument = (output === undefined || output === "yaml") && json !== true && query === undefined;
  if (isDocument) {
    const id = version === undefined ? "getConfigDocument" : "getConfigVersionDocument";
    const { text } = await call(client, id, { version });
    if (!isVisible(text))
      context.terminal.say(
        "The document contains characters that act on terminals. They are printed as \\uXXXX; `config edit` opens the exact bytes.",
      );
    context.terminal.out(text.replace(/\n$/, ""));
    return;
  }
  const { body } = await call(client, version === undefined ? "getConfig" : "getConfigVersion", { version });
  await run.print(body, () => tableOf(context.paint, listAt(body, "entries"), entryColumns));
}

async function checkConfig(run: Run): Promise<void> {
  const [path = ""] = run.operands;
  const { text, answer } = await sendDocument(run, { dryRun: true });
  const isValid = answer.status === 200;
  if (!isValid && !isAboutDocument(answer)) throw await explainProblem(run.client, answer);
  const { body } = answer;
  await run.print({ valid: isValid, invalid: listAt(body, "invalid"), warnings: listAt(body, "warnings") }, () =>
    [...findingLines(path, answer, text), ...(isValid ? [`${path} is valid.`] : [])].join("\n"),
  );
  if (!isValid) run.finish(exitCodes.failed);
}

async function putConfig(run: Run): Promise<void> {
  const { text, answer } = await sendDocument(run, {});
  if (isAboutDocument(answer)) {
    const lines = findingLines(run.operands[0] ?? "", answer, text);
    throw new CommandFailure(exitCodes.refused, [...lines, "Nothing was published."].join("\n"));
  }
  if (answer.status !== 200 && answer.status !== 201) throw await explainProblem(run.client, answer);
  sayWarnings(run.context.terminal, answer.body);
  await run.print(answer.body, () => writtenSentence(answer.body));
}

async function sendDocument(run: Run, more: { dryRun?: true }): Promise<{ text: string; answer: Answer }> {
  factoryOf(run.client);
  const body = await readGivenFile(run.context, run.operands[0] ?? "");
  const values = { ...publication(run.given<PublishFlags>()), ...more };
  return { text: body.toString("utf8"), answer: await send(run.client, "putConfig", values, { body }) };
}

async function addEntry(run: Run): Promise<void> {
  refuseUrlOfRegistry(run);
  factoryOf(run.client);
  const entry = await entryOf(run, {});
  const { body } = await call(run.client, "addRegistry", { ...entry, ...publication(run.given<PublishFlags>()) });
  await printEntry(run, "Added", body);
}

async function changeEntry(run: Run): Promise<void> {
  refuseUrlOfRegistry(run);
  const [id] = run.operands;
  const { body: present, etag } = await call(run.client, "getRegistry", { id });
  const { id: _, ...members } = isObject(present) ? present : {};
  const entry = await entryOf(run, members);
  const values = { ...publication(run.given<PublishFlags>()), "If-Match": etag, id };
  const { body } = await call(run.client, "putRegistry", { ...entry, ...values });
  await printEntry(run, "Changed", body);
}

async function printEntry(run: Run, verb: string, body: unknown): Promise<void> {
  sayWarnings(run.context.terminal, body);
  const { entry, configVersion } = isObject(body) ? body : {};
  const { id } = isObject(entry) ? entry : {};
  await run.print(body, () =>
    filledIn(`${verb} {id}, in version {configVersion} of the config.`, { id, configVersion }),
  );
}

type EntryFlags = { type?: string; host?: readonly string[]; fromFile?: string };

/** `url` is a member of an entry and `--url` the service: the mix-up must not send a token to a registry. */
function refuseUrlOfRegistry({ client, given }: Run): void {
  const { host = [], fromFile } = given<EntryFlags>();
  const { hostname } = new URL(client.connection.url);
  const isRegistry =
    /(?:^|\.)(?:amazonaws\.com(?:\.cn)?|azurecr\.(?:io|cn|us)|pkg\.dev|gcr\.io|ghcr\.io|docker\.(?:io|com)|quay\.io)$|^registry[.-]/;
  if (host.length > 0 || fromFile !== undefined || !isRegistry.test(hostname)) return;
  throw new CommandFailure(
    exitCodes.usage,
    `--url is the URL of factory-secrets, and ${hostname} looks like a registry. Nothing was sent. Name the registry with --host ${hostname}.`,
  );
}

/** The members of an entry without a secret. */
const keyless = ["awsRoleArn", "azureClientId", "garWorkloadIdentityProvider", "garServiceAccount"];

/** The entry for the API: the options, over the file or the present entry. */
async function entryOf({ context, given }: Run, present: JsonObject): Promise<JsonObject> {
  const { fromFile, host = [], type } = given<EntryFlags>();
  const base = fromFile === undefined ? present : await readDocument(context, fromFile);
  const { hosts: _, ...named } = namedMembers(given());
  // An entry has one host or a list of them.
  const isSeveral = host.length > 1 || ((type ?? base.type) === "gar" && "hosts" in base);
  const said: JsonObject = { ...named, ...(host.length > 0 && (isSeveral ? { hosts: host } : { url: host[0] })) };
  if (fromFile === undefined && Object.keys(said).length === 0)
    throw new CommandFailure(
      exitCodes.usage,
      "No member of the entry was given. Pass one, such as --secret NAME, or --from-file FILE.",
    );
  const replaced = [
    ...(host.length > 0 ? ["url", "hosts"] : []),
    ...("secretName" in said ? keyless : []),
    ...(keyless.some((member) => member in said) ? ["secretName"] : []),
  ];
  const kept = Object.entries(base).filter(([member]) => !replaced.includes(member));
  return { ...Object.fromEntries(kept), ...said };
}

/** The options, by the members of the API. */
function namedMembers(flags: JsonObject): JsonObject {
  const members = entryOptions.map(([form, , use]) => [use?.to ?? nameOf(form), flags[nameOf(form)]]);
  return Object.fromEntries(members.filter(([, found]) => found !== undefined));
}
