import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { lengthSeconds } from "../client/read-time.js";
import { call, listAll } from "./call.js";
import { type Argument, exampleId, type Row, type Run } from "./command.js";
import type { OperationId } from "./generated/operations.js";
import { readDocument, readGivenFile } from "./given-input.js";
import type { OperatorClient } from "./operator-client.js";
import { detailsOf } from "./print.js";
import { future } from "./secret-commands.js";

export const jobRows: readonly Row[] = [
  {
    words: "jobs list",
    about: "jobs, newest first",
    calls: "listJobs",
    columns: "id name state createdAt BY=createdBy expiresAt",
  },
  {
    words: "jobs open <name>",
    about: "open a job and print its token, alone on a line",
    operands: [["<name>", "a name for people"]],
    options: [
      [
        "--ttl <seconds>",
        "lifetime of its token: 60 to 86400, or a length such as 2h; 3600 by default",
        { to: "ttlSeconds", read: ttlOf },
      ],
      ["--deliver-secrets", "its /secrets contain the secrets marked for delivery; the default without grants"],
      ["--no-deliver-secrets", "its /secrets do not contain them"],
      [
        "--grant <host[=repository,...]>",
        "what it may pull; everything without this option; may be repeated",
        { to: "grants", read: grantOf },
      ],
    ],
    calls: "createJob",
    shownOnce: "token",
    says: "Job {id}, until {expiresAt}.",
    example: "factory-secrets jobs open nightly --ttl 7200 --grant registry.gitlab.com=acme/base,acme/app",
  },
  {
    words: "jobs show <id>",
    about: "one job",
    calls: "getJob",
  },
  {
    words: "jobs end <job...>",
    about: "end jobs: their tokens stop working at once",
    operands: [["<job...>", "its id or its name; several end several"]],
    run: endJobs,
    example: "factory-secrets jobs end nightly",
  },
];

function ttlOf(text: string): number {
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : lengthSeconds(text);
  if (seconds !== undefined) return seconds;
  throw new CommandFailure(
    exitCodes.usage,
    "--ttl takes a whole number of seconds from 60 to 86400, or a length such as 2h.",
  );
}

function grantOf(text: string) {
  const [registry = "", names] = text.split("=", 2);
  const repositories = names?.split(",").filter((name) => name !== "");
  return { registry, ...(repositories && { repositories }) };
}

async function endJobs(run: Run): Promise<void> {
  const items: { id: string }[] = [];
  for (const job of run.operands) {
    const jobId = await idOfJob(run.client, job);
    await call(run.client, "endJob", { id: jobId });
    items.push({ id: jobId });
    run.context.terminal.say(`Ended the job ${jobId}. Its registry tokens stay valid until they expire.`);
  }
  if (run.isForProgram) await run.print({ items }, () => "");
}

/** The id of a running job. @throws CommandFailure when no job has that name, or several have it */
async function idOfJob(client: OperatorClient, job: string): Promise<string> {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(job)) return job;
  const running = await listAll(client, "listJobs");
  const ids = running.flatMap((one) => (textAt(one, "name") === job ? [textAt(one, "id") ?? ""] : []));
  const [found, ...others] = ids;
  if (found !== undefined && others.length === 0) return found;
  const why =
    found === undefined
      ? `No running job is named "${job}". To see the running jobs: factory-secrets jobs list`
      : `Several running jobs are named "${job}". Name one by its id: ${ids.join(", ")}`;
  throw new CommandFailure(exitCodes.usage, why);
}

const readPolicy = (path: string, { context }: Run) => readDocument(context, path);

export const deviceRows: readonly Row[] = [
  {
    words: "devices authorities list",
    about: "all authorities",
    calls: "listDeviceAuthorities",
    columns: "id name subject expiresAt fingerprint",
  },
  {
    words: "devices authorities show <id>",
    about: "one authority, with its certificates, policy and revocation lists",
    calls: "getDeviceAuthority",
    example: `factory-secrets devices authorities show ${exampleId} --output yaml`,
  },
  {
    words: "devices authorities add <name>",
    about: "accept the devices of an authority",
    operands: [["<name>", "a name for people"]],
    options: [
      [
        "--certificates <file>",
        "its root and intermediates, PEM; - is standard input",
        { isRequired: true, read: async (path, { context }) => (await readGivenFile(context, path)).toString("utf8") },
      ],
      [
        "--policy <file>",
        "what its devices may pull, YAML or JSON; everything without this option",
        { read: readPolicy },
      ],
    ],
    calls: "createDeviceAuthority",
    example: "factory-secrets devices authorities add 'line 1' --certificates ca.pem --policy policy.yml",
  },
  {
    words: "devices authorities set-policy <id> <file>",
    about: "change what the devices of an authority may pull",
    operands: [["<file>", "the whole policy, YAML or JSON; - is standard input"]],
    options: [["--name <name>", "its new name"]],
    run: setPolicy,
    example: `factory-secrets devices authorities set-policy ${exampleId} policy.yml`,
  },
  {
    words: "devices authorities set-crl <id> <file>",
    about: "replace the revocation list",
    operands: [
      ["<file>", "an X.509 CRL, PEM or DER; - is standard input", { to: "revocationList", read: readRevocationList }],
    ],
    calls: "replaceRevocationList",
    example: `factory-secrets devices authorities set-crl ${exampleId} crl.pem`,
  },
  {
    words: "devices authorities rm <id>",
    about: "refuse the devices of an authority from now on",
    calls: "deleteDeviceAuthority",
    confirm: "Every device of the authority {id} would be refused.",
    says: "Removed the authority {id}.",
  },
  {
    words: "devices denied",
    about: "devices that are denied",
    calls: "listDeniedDevices",
    columns: "id deviceId authorityId serial SINCE=createdAt BY=createdBy reason",
  },
  {
    words: "devices deny [device]",
    about: "deny a device, whatever its certificate, or one certificate",
    operands: [["[device]", "its id: the CN of its certificates", { to: "deviceId" }]],
    options: [
      ["--authority <id>", "of the certificate with this --serial", { to: "authorityId" }],
      ["--serial <number>", "one certificate, in hexadecimal"],
      ["--reason <text>", "kept with the denial"],
    ],
    calls: "denyDevice",
    example: "factory-secrets devices deny 7f3b2c1d-0000-4000-8000-000000000000 --reason stolen",
  },
  {
    words: "devices allow <id>",
    about: "remove a denial",
    operands: [["<id>", "id of the denial, from `devices denied`"]],
    calls: "allowDeviceAgain",
    says: "Removed the denial {id}.",
  },
];

async function setPolicy({ context, client, operands, given, print }: Run): Promise<void> {
  const [authority, file = ""] = operands;
  const { body: present } = await call(client, "getDeviceAuthority", { id: authority });
  const name = given<{ name?: string }>().name ?? textAt(present, "name");
  const policy = await readDocument(context, file);
  const { body } = await call(client, "replaceDeviceAuthority", { id: authority, name, policy });
  await print(body, () => detailsOf(body));
}

async function readRevocationList(path: string, { context }: Run): Promise<string> {
  const bytes = await readGivenFile(context, path);
  const text = bytes.toString("latin1");
  return text.includes("-----BEGIN") ? text : bytes.toString("base64");
}

type Kind = {
  group: "api-tokens" | "oauth-clients";
  one: "API token" | "OAuth client";
  calls: { list: OperationId; create: OperationId; remove: OperationId };
  shownOnce: string;
  example: string;
};

/** `list`, `create` and `rm` of one kind of credential. */
const rowsOf = ({ group, one, calls, shownOnce, example }: Kind): Row[] => [
  {
    words: `${group} list`,
    about: `every ${one} of the factory`,
    calls: calls.list,
    columns: "id name roles permissions createdAt BY=createdBy expiresAt",
  },
  {
    words: `${group} create <name>`,
    about: `make an ${one} and print its credential, alone on a line`,
    operands: [["<name>", "a name for people"]],
    options: [
      ["--role <role>", "a set of permissions, see `roles`; may be repeated", { to: "roles" }],
      ["--permission <permission>", "such as secrets:list; may be repeated", { to: "permissions" }],
      ["--expires-at <time>", "when it ends: RFC 3339, a date, or a length such as 90d", { read: future }],
    ],
    calls: calls.create,
    shownOnce,
    says: `${one} {id}, "{name}".`,
    example,
  },
  {
    words: `${group} rm <id>`,
    about: `withdraw an ${one}; it stops working at once`,
    calls: calls.remove,
    confirm: `The ${one} {id} would stop working.`,
    says: `Withdrew the ${one} {id}.`,
  },
];

export const credentialRows: readonly Row[] = [
  ...rowsOf({
    group: "api-tokens",
    one: "API token",
    calls: { list: "listApiTokens", create: "createApiToken", remove: "deleteApiToken" },
    shownOnce: "token",
    example: "factory-secrets api-tokens create 'build server' --role ci",
  }),
  ...rowsOf({
    group: "oauth-clients",
    one: "OAuth client",
    calls: { list: "listOAuthClients", create: "createOAuthClient", remove: "deleteOAuthClient" },
    shownOnce: "clientSecret",
    example: "factory-secrets oauth-clients create fioctl --role operator",
  }),
  {
    words: "oauth-clients show <id>",
    about: "one client, with the ids of its secrets",
    calls: "getOAuthClient",
  },
  {
    words: "oauth-clients add-secret <id>",
    about: "give a client a second secret, and print it alone on a line",
    calls: "addOAuthClientSecret",
    shownOnce: "clientSecret",
    says: "Secret {id}.",
  },
  {
    words: "oauth-clients rm-secret <id> <secret-id>",
    about: "take a secret from a client: it stops working at once",
    operands: [["<secret-id>", "id of the secret, from `oauth-clients show`"]],
    calls: "removeOAuthClientSecret",
    confirm: "The secret {secretId} of the client {id} would stop working.",
    says: "Removed the secret {secretId}.",
    example: `factory-secrets oauth-clients rm-secret ${exampleId} 018f3c1e-0000-7000-8000-000000000001`,
  },
  {
    words: "roles",
    about: "names for sets of permissions",
    calls: "listRoles",
    columns: "ROLE=name permissions",
  },
];

const factoryName: Argument = ["<name>", "its name", { to: "factory" }];

export const factoryRows: readonly Row[] = [
  {
    words: "factories list",
    about: "all factories",
    calls: "listFactories",
    columns: "name id createdAt",
  },
  {
    words: "factories create <name>",
    about: "make a factory; its name can never be used for another",
    operands: [["<name>", "lower-case letters, digits and dashes"]],
    calls: "createFactory",
    prints: "Created {name}, {id}.",
    example: "factory-secrets factories create acme",
  },
  {
    words: "factories rm <name>",
    about: "delete a factory with all that is in it, for good",
    operands: [factoryName],
    calls: "deleteFactory",
    confirm: "The factory {factory} and every secret in it would be destroyed for good.",
    says: "Deleted the factory {factory}.",
    example: "factory-secrets factories rm acme",
  },
  {
    words: "factories settings",
    about: "show the factory's settings, or change those that are named",
    options: [
      ["--keep-versions <number>", "how many versions of each secret are kept"],
      ["--rotation-grace-seconds <number>", "how long the previous version cannot be destroyed"],
    ],
    calls: "changeFactorySettings",
    showsWith: "getFactorySettings",
    example: "factory-secrets factories settings --keep-versions 20",
  },
];
