import type { Command } from "commander";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { lengthSeconds } from "../client/read-time.js";
import { ask, listAll, pathOf } from "./ask-service.js";
import { type CommandDeps, group, type Run, serviceCommand } from "./define-command.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";
import { printNewCredential } from "./print-new-credential.js";
import { type OutputFlags, printItems, printOne } from "./print-reply.js";
import { sayWarnings } from "./say-warnings.js";

/** `jobs ...`. */
export function ciJobCommands(deps: CommandDeps): Command {
  return group(
    "jobs",
    "CI jobs, each with a token of its own",
    [listCommand(deps), openCommand(deps), showCommand(deps), endCommand(deps)],
    "export FACTORY_SECRETS_TOKEN=$(factory-secrets jobs open nightly --grant registry.gitlab.com=acme/base)",
  );
}

const jobPath = (client: OperatorClient, ...id: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "jobs", ...id);

const idOperand = ["<id>", "its id"] as const;

const listCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    { name: "list", about: "jobs, newest first", prints: true, example: "factory-secrets jobs list" },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, jobPath(client)), [
        ["ID", "id"],
        ["NAME", "name"],
        ["STATE", "state"],
        ["CREATED", "createdAt"],
        ["BY", "createdBy"],
        ["EXPIRES", "expiresAt"],
      ]),
  );

type OpenFlags = OutputFlags & { ttl?: string; grant?: readonly string[]; deliverSecrets?: boolean };

const openCommand = (deps: CommandDeps): Command =>
  serviceCommand<OpenFlags>(
    deps,
    {
      name: "open",
      about: "open a job and print its token, alone on a line",
      operands: [["<name>", "what people call it"]],
      options: [
        ["--ttl <seconds>", "how long its token lives: 60 to 86400, or a length such as 2h; 3600 by default"],
        ["--deliver-secrets", "its /secrets hold the secrets that are flagged so; without grants they do anyway"],
        ["--no-deliver-secrets", "they do not"],
        ["--grant <host[=repository,...]>", "it may pull from there; without any: from everywhere; may be repeated"],
      ],
      prints: true,
      example: "factory-secrets jobs open nightly --ttl 7200 --grant registry.gitlab.com=acme/base,acme/app",
    },
    openJob,
  );

async function openJob(
  { context, client }: Run,
  { ttl, grant, deliverSecrets, output }: OpenFlags,
  [name = ""]: readonly string[],
) {
  const ttlSeconds = ttl !== undefined && /^\d{1,6}$/.test(ttl) ? Number(ttl) : lengthSeconds(ttl ?? "");
  if (ttl !== undefined && ttlSeconds === undefined)
    throw new CommandFailure(
      exitCodes.usage,
      "--ttl is a whole number of seconds from 60 to 86400, or a length such as 2h.",
    );
  const grants = grant?.map(grantOf);
  const json = {
    name,
    ...(ttlSeconds !== undefined && { ttlSeconds }),
    ...(grants && { grants }),
    deliverSecrets,
  };
  const { body } = await ask(client, { method: "POST", path: jobPath(client), json });
  sayWarnings(context, body);
  const id = textAt(body, "id") ?? "";
  await printNewCredential(context, output, body, "token", `Job ${id}, until ${textAt(body, "expiresAt") ?? ""}.`);
}

function grantOf(text: string) {
  const [registry = "", names] = text.split("=", 2);
  const repositories = names?.split(",").filter((name) => name !== "");
  return { registry, ...(repositories && { repositories }) };
}

const showCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "show",
      about: "one job",
      operands: [idOperand],
      prints: true,
      example: "factory-secrets jobs show 018f3c1e-0000-7000-8000-000000000000",
    },
    async ({ context, client }, { output }, [id = ""]) =>
      printOne(context, output, (await ask(client, { method: "GET", path: jobPath(client, id) })).body),
  );

const endCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "end",
      about: "end a job: its token stops working at once",
      operands: [["<job...>", "its id or its name; several end several"]],
      example: "factory-secrets jobs end nightly",
    },
    async ({ context, client }, _flags, jobs) => {
      for (const job of jobs) {
        const id = await idOf(client, job);
        await ask(client, { method: "DELETE", path: jobPath(client, id) });
        context.terminal.say(`Ended ${id}. Registry tokens that it was given live until they expire.`);
      }
    },
  );

/** The id of a job that runs. @throws CommandFailure when none has that name, or several have */
async function idOf(client: OperatorClient, job: string): Promise<string> {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(job)) return job;
  const running = await listAll(client, jobPath(client));
  const ids = running.flatMap((one) => (textAt(one, "name") === job ? [textAt(one, "id") ?? ""] : []));
  const [id, ...others] = ids;
  if (id !== undefined && others.length === 0) return id;
  const why =
    id === undefined
      ? `No job that runs is named "${job}". factory-secrets jobs list shows them.`
      : `Several jobs that run are named "${job}". Name one by its id: ${ids.join(", ")}`;
  throw new CommandFailure(exitCodes.usage, why);
}
