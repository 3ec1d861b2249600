import type { Command } from "commander";
import { exitCodes } from "../client/command-failure.js";
import { isObject, listAt, textAt } from "../client/json-value.js";
import { ask } from "./ask-service.js";
import { type CommandDeps, serviceCommand } from "./define-command.js";
import type { Paint } from "./paint.js";
import { cellAt, printReply } from "./print-reply.js";
import { secretPath } from "./secret-path.js";

type DoctorFlags = { version?: string; registry?: string; repository?: readonly string[] };

/** `secrets doctor`: what a stored credential is good for, found out at its registries. */
export const doctorCommand = (deps: CommandDeps): Command =>
  serviceCommand<DoctorFlags>(
    deps,
    {
      name: "doctor",
      about:
        "try a secret at the registries that it is for; exit code 0: jobs get tokens by it, 1: they do not, or no entry names it",
      operands: [["<name>", "its name"]],
      options: [
        ["--version <number>", "that version, such as a staged one; without it, the current one"],
        ["--registry <host>", "only this registry, or the entry with this id"],
        ["--repository <name>", "see whether it may be pulled, and pushed to; may be repeated"],
      ],
      more: "Nothing is changed at the registries. It may take half a minute.",
      prints: true,
      example:
        "factory-secrets secrets doctor aws_creds --version 4\nfactory-secrets secrets doctor gitlab_creds --registry registry.gitlab.com --repository acme/base",
    },
    async ({ context, client, finish }, { version, registry, repository, output }, [name = ""]) => {
      const base = secretPath(client, name);
      const path = version === undefined ? base : `${base}/versions/${encodeURIComponent(version)}`;
      const json = { registry, repositories: repository };
      const { body } = await ask(client, { method: "POST", path: `${path}:doctor`, json });
      await printReply(context, output, body, () => reportText(context.paint, body));
      if (!(isObject(body) && body.passed === true) || triesNothing(body)) finish(exitCodes.failed);
    },
  );

/** The service lets a version pass that was tried nowhere. That says nothing of what jobs get. */
const triesNothing = (report: unknown): boolean => listAt(report, "registries").length === 0;

function reportText(paint: Paint, report: unknown): string {
  const passed = isObject(report) && report.passed === true;
  const head = `${paint.bold(cellAt(report, "name"))}, version ${cellAt(report, "version")}`;
  const own = listAt(report, "checks").map((check) => checkLine(paint, check));
  const registries = listAt(report, "registries").map((registry) => registryText(paint, registry));
  const tried = passed ? paint.green("Jobs get tokens by it.") : paint.red("Jobs would not get every token by it.");
  const end = triesNothing(report)
    ? paint.yellow("Nothing to try: no registry entry names it. Add one: factory-secrets registries add --help")
    : tried;
  return [[head, ...own].join("\n"), ...registries, end].join("\n\n");
}

function registryText(paint: Paint, registry: unknown): string {
  const host = textAt(registry, "registry");
  const principal = cellAt(registry, "principal");
  const head = `${paint.bold(host === undefined ? cellAt(registry, "entry") : cellAt(registry, "registry"))} (${cellAt(registry, "type")})`;
  const who = principal === "" ? [] : [`  as ${principal}`];
  return [head, ...who, ...listAt(registry, "checks").map((check) => checkLine(paint, check))].join("\n");
}

const longestOutcome = "warning".length;

function checkLine(paint: Paint, check: unknown): string {
  const outcome = cellAt(check, "outcome") || "warning";
  const word = outcome.padEnd(longestOutcome);
  return `  ${colourOf(paint, outcome)(word)}  ${cellAt(check, "code")}: ${cellAt(check, "message")}`;
}

function colourOf(paint: Paint, outcome: string): (text: string) => string {
  if (outcome === "ok") return paint.green;
  return outcome === "failed" ? paint.red : paint.yellow;
}
