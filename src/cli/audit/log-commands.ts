import type { Command } from "commander";
import { ask, pathOf } from "../operator/ask-service.js";
import { type CommandDeps, type Run, serviceCommand } from "../operator/define-command.js";

type Whose = { installation?: boolean };

const installationFlag = ["--installation", "of the installation; needs an operator token"] as const;

/** `audit checkpoint|prove`: print what the service says of a log. */
export const logCommands = (deps: CommandDeps): Command[] => [
  serviceCommand<Whose>(
    deps,
    {
      name: "checkpoint",
      about: "print the signed checkpoint of the log; keep it where the database is not",
      options: [installationFlag],
      example: "factory-secrets audit checkpoint > audit.checkpoint",
    },
    (run, flags) => printText(run, flags, "checkpoint"),
  ),
  serviceCommand<Whose & { event: string }>(
    deps,
    {
      name: "prove",
      about: "print a proof that an event is in the log, in the form of C2SP tlog-proof",
      required: [["--event <id>", "the id that `audit tail` and the export show"]],
      options: [installationFlag],
      example: "factory-secrets audit prove --event 5f0c1d7e8a2b4c6d9e0f1a2b3c4d5e6f > event.tlog-proof",
    },
    (run, flags) => printText(run, flags, "proof", { event: flags.event }),
  ),
];

async function printText(
  { context, client }: Run,
  { installation }: Whose,
  what: "checkpoint" | "proof",
  query: Readonly<Record<string, string>> = {},
): Promise<void> {
  const factory = installation === true ? undefined : client.factory;
  const path = factory === undefined ? `/v1/audit/${what}` : pathOf("v1", "factories", factory, "audit", what);
  const { text } = await ask(client, { method: "GET", path, query, accept: "text/plain" });
  context.terminal.out(text.replace(/\n$/, ""));
}
