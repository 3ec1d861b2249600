import { exitCodes } from "../client/command-failure.js";
import { isObject, listAt, textAt } from "../client/json-value.js";
import { readTime } from "../client/read-time.js";
import { call } from "./call.js";
import type { Argument, Row, Run } from "./command.js";
import type { Values } from "./operation.js";
import { cellAt, type Paint } from "./print.js";

const value: Argument = ["[value]", "the value; prefer --from-file, standard input or the prompt"];
const allowUnusable: Argument = [
  "--allow-unusable",
  "also when the registry entries that name it cannot use the value",
];

/** `--if-version 3` sends `If-Match: "3"`. */
export const ifVersion: Argument = [
  "--if-version <number>",
  "only if this is the current version",
  { to: "If-Match", read: (number) => `"${number}"` },
];

/** A time as people write it, for the API. */
export const past = (text: string): string => readTime(text, "past");
export const future = (text: string): string => readTime(text, "future");

const nowCurrent = ({ name, version, previousVersion }: Values): string => {
  const before = previousVersion ?? "";
  const start = `The current version of ${name} is ${version}.`;
  return before === "" ? start : `${start} Before it: ${before}. To undo: factory-secrets secrets rollback ${name}`;
};

const stored = ({ name, version, stage, status }: Values): string =>
  stage === true
    ? `Staged version ${version} of ${name}. Use it: factory-secrets secrets promote ${name} ${version}`
    : `${status === 201 ? "Created" : "Stored"} ${name}, version ${version}.`;

const usageFacts = (shown: Values): string =>
  [
    `version:            ${cellAt(shown, "version")}`,
    `entries:            ${cellAt(shown, "entries") || "none"}`,
    `last used:          ${cellAt(shown, "lastUsedAt") || "not in the last 90 days"}`,
    `older tokens until: ${cellAt(shown, "olderTokensUntil") || "none is valid"}`,
  ].join("\n");

export const secretRows: readonly Row[] = [
  {
    words: "secrets list",
    about: "all secrets with their metadata",
    options: [
      ["--prefix <text>", "only names that begin with it"],
      ["--deleted", "deleted secrets that can be undeleted"],
    ],
    calls: "listSecrets",
    columns: "name version updatedAt expiresAt IN_USE=usedByRegistries TO_JOBS=deliverToJobs description",
    instead: {
      flag: "deleted",
      calls: "listDeletedSecrets",
      columns: "name version deletedAt undeletableUntil",
    },
    example: "factory-secrets secrets list --prefix aws_",
  },
  {
    words: "secrets show <name>",
    about: "the metadata of one secret",
    calls: "getSecret",
    example: "factory-secrets secrets show aws_creds --output json",
  },
  {
    words: "secrets set <name> [value]",
    about: "store a value, as a new version",
    operands: [value],
    options: [
      ["--description <text>", "what it is for; not secret"],
      [
        "--expires-at <time>",
        "when the credential in it expires: RFC 3339, a date, or a length such as 90d",
        { read: future },
      ],
      ["--deliver-to-jobs", "this version may be delivered in a job's /secrets; needs secrets:deliver"],
      ["--no-deliver-to-jobs", "it may not; without either option: as the current version"],
      ["--stage", "do not use the version yet; see promote"],
      ifVersion,
      ["--create", "only if the name is not in use yet", { to: "If-None-Match", read: () => "*" }],
      allowUnusable,
    ],
    calls: "putSecret",
    value: "Value of {name}",
    prints: stored,
    example:
      "factory-secrets secrets set aws_creds --from-file ~/.aws/credentials\npass show registries/gitlab | tr -d '\\n' | factory-secrets secrets set gitlab_creds",
  },
  {
    words: "secrets rm <name>",
    about: "delete a secret; it can be undeleted for some days",
    options: [
      ["--force", "also when a registry entry names it"],
      ["--purge", "destroy its values at once, for good"],
    ],
    calls: "deleteSecret",
    confirm: ({ name, purge }) =>
      purge === true ? `Every value of ${name} would be destroyed for good.` : `The secret ${name} would be deleted.`,
    says: ({ name, purge }) =>
      purge === true ? `Destroyed ${name}.` : `Deleted ${name}. To undo: factory-secrets secrets undelete ${name}`,
    example: "factory-secrets secrets rm old_creds",
  },
  {
    words: "secrets verify <name> [value]",
    about: "compare a value with the stored one; exit code 0: equal, 1: different",
    operands: [value],
    calls: "verifySecret",
    value: "Value to compare with {name}",
    prints: ({ name, version, matches }) =>
      matches === true
        ? `The value is version ${version} of ${name}.`
        : `The value is not version ${version} of ${name}, the current one.`,
    isNo: (reply) => !(isObject(reply) && reply.matches === true),
    example: "factory-secrets secrets verify aws_creds --from-file ~/.aws/credentials",
  },
  {
    words: "secrets doctor <name>",
    about:
      "try a secret at its registries; exit code 0: jobs get tokens with it, 1: they do not, or no entry names the secret",
    options: [
      ["--version <number>", "this version, such as a staged one; the current one by default"],
      ["--registry <host>", "only this registry, or the entry with this id"],
      ["--repository <name>", "check pulling from it, and pushing to it; may be repeated"],
    ],
    more: "The command changes nothing at the registries. It may take half a minute.",
    run: examine,
    example:
      "factory-secrets secrets doctor aws_creds --version 4\nfactory-secrets secrets doctor gitlab_creds --registry registry.gitlab.com --repository acme/base",
  },
  {
    words: "secrets history <name>",
    about: "the versions of a secret",
    calls: "listSecretVersions",
    columns: "version state createdAt BY=createdBy expiresAt TO_JOBS=deliverToJobs restoredFrom fingerprint",
    example: "factory-secrets secrets history aws_creds",
  },
  {
    words: "secrets promote <name> <version>",
    about: "make a version the current one: new tokens are minted with it",
    options: [ifVersion, ["--doctor", "only if every registry accepts it; see `secrets doctor`"], allowUnusable],
    calls: "promoteSecretVersion",
    prints: nowCurrent,
    example: "factory-secrets secrets promote aws_creds 4 --if-version 3 --doctor",
  },
  {
    words: "secrets rollback <name>",
    about: "go back to the version that was current before",
    options: [ifVersion, allowUnusable],
    calls: "rollBackSecret",
    prints: nowCurrent,
    example: "factory-secrets secrets rollback aws_creds",
  },
  {
    words: "secrets restore <name> <version>",
    about: "store an older version again, as a new one",
    options: [ifVersion, allowUnusable],
    calls: "restoreSecretVersion",
    prints: nowCurrent,
    example: "factory-secrets secrets restore aws_creds 2",
  },
  {
    words: "secrets destroy <name> <version>",
    about: "destroy the value of a version, for good",
    options: [["--force", "also when a rollback would go back to it"]],
    calls: "destroySecretVersion",
    confirm: "The value of version {version} of {name} would be destroyed for good.",
    says: "Destroyed version {version} of {name}.",
    hints: {
      "purge=true":
        "On this command line: factory-secrets secrets promote {name} with the number of another version, or factory-secrets secrets rm {name} --purge",
    },
    example: "factory-secrets secrets destroy aws_creds 3",
  },
  {
    words: "secrets undelete <name>",
    about: "bring back a deleted secret, with its versions",
    options: [allowUnusable],
    calls: "undeleteSecret",
    example: "factory-secrets secrets list --deleted\nfactory-secrets secrets undelete aws_creds",
  },
  {
    words: "secrets purge <name>",
    about: "destroy what was deleted under this name, for good; a secret in use is not touched",
    calls: "purgeDeletedSecrets",
    confirm: "The deleted values of {name} would be destroyed for good.",
    says: "Destroyed what was deleted as {name}.",
    example: "factory-secrets secrets purge aws_creds",
  },
  {
    words: "secrets usage <name>",
    about: "who got tokens from which version, and how long tokens of older versions stay valid",
    calls: "getSecretUsage",
    prints: usageFacts,
    list: "uses",
    columns: "version kind name lastUsedAt tokensUntil",
    example: "factory-secrets secrets usage aws_creds",
  },
  {
    words: "secrets report",
    about: "every secret with its age, as proof of rotation",
    options: [
      ["--rotated-before <time>", "only secrets that were last rotated before it", { read: past }],
      ["--expires-before <time>", "only secrets whose credential expires before it", { read: future }],
      ["--unused-since <time>", "only secrets that were not used since then", { read: past }],
    ],
    calls: "getRotationReport",
    list: "secrets",
    columns: "name version ageDays rotatedAt expiresAt lastUsedAt olderTokensUntil",
    example: "factory-secrets secrets report --rotated-before 2026-06-01T00:00:00Z",
  },
];

async function examine(run: Run): Promise<void> {
  const flags = run.given<{ version?: string; registry?: string; repository?: readonly string[] }>();
  const { version, registry, repository: repositories } = flags;
  const [name] = run.operands;
  const id = version === undefined ? "examineSecret" : "examineSecretVersion";
  const { body } = await call(run.client, id, { name, version, registry, repositories });
  await run.print(body, () => reportText(run.context.paint, body));
  // The service passes a version that no entry names, but jobs get nothing with it.
  if (!(isObject(body) && body.passed === true) || hasNoRegistries(body)) run.finish(exitCodes.failed);
}

const hasNoRegistries = (report: unknown): boolean => listAt(report, "registries").length === 0;

function reportText(paint: Paint, report: unknown): string {
  const passed = isObject(report) && report.passed === true;
  const head = `${paint.bold(cellAt(report, "name"))}, version ${cellAt(report, "version")}`;
  const registries = listAt(report, "registries").map((registry) => registryText(paint, registry));
  const tried = passed
    ? paint.green("Jobs get tokens with it.")
    : paint.red("Jobs do not get every token with it. Correct the failed checks above.");
  const end = hasNoRegistries(report)
    ? paint.yellow(
        "Nothing to try: no registry entry names this secret. To add one: factory-secrets registries add --help",
      )
    : tried;
  return [[head, ...checkLines(paint, report)].join("\n"), ...registries, end].join("\n\n");
}

function registryText(paint: Paint, registry: unknown): string {
  const host = textAt(registry, "registry") === undefined ? cellAt(registry, "entry") : cellAt(registry, "registry");
  const principal = cellAt(registry, "principal");
  const who = principal === "" ? [] : [`  as ${principal}`];
  return [`${paint.bold(host)} (${cellAt(registry, "type")})`, ...who, ...checkLines(paint, registry)].join("\n");
}

function checkLines(paint: Paint, report: unknown): string[] {
  const colours: Readonly<Record<string, (text: string) => string>> = { ok: paint.green, failed: paint.red };
  return listAt(report, "checks").map((check) => {
    const outcome = cellAt(check, "outcome") || "warning";
    const colour = colours[outcome] ?? paint.yellow;
    return `  ${colour(outcome.padEnd("warning".length))}  ${cellAt(check, "code")}: ${cellAt(check, "message")}`;
  });
}
