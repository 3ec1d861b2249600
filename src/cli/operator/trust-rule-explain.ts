import type { Command } from "commander";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, listAt } from "../client/json-value.js";
import { ask } from "./ask-service.js";
import { type CommandDeps, serviceCommand } from "./define-command.js";
import type { OperatorContext } from "./operator-context.js";
import { cellAt, printReply } from "./print-reply.js";
import { readDocument } from "./read-document.js";
import { readCredential } from "./read-value.js";
import { rulesPath } from "./trust-rule-path.js";

type ExplainFlags = { tokenFile?: string; claims?: string };

export const explainCommand = (deps: CommandDeps): Command =>
  serviceCommand<ExplainFlags>(
    deps,
    {
      name: "explain",
      about: "why a token is let in or refused, condition by condition; exit code 0: it is let in, 1: it is not",
      options: [
        ["--token-file <file>", "the ID token; - is standard input. Without it, it is asked for"],
        ["--claims <file>", "only the claims that a token could have, YAML or JSON"],
      ],
      more: "The token is not used up and not kept.",
      prints: true,
      example: "factory-secrets trust-rules explain --token-file id-token.txt",
    },
    async ({ context, client, finish }, { tokenFile, claims, output }) => {
      const path = `${rulesPath(client)}:explain`;
      const json = await questionOf(context, { tokenFile, claims });
      const { body } = await ask(client, { method: "POST", path, json });
      const isLetIn = isObject(body) && body.matches === true;
      await printReply(context, output, body, () => explanationText(context, body, isLetIn));
      if (!isLetIn) finish(exitCodes.failed);
    },
  );

async function questionOf(
  context: OperatorContext,
  { tokenFile, claims }: { [Name in keyof ExplainFlags]: string | undefined },
) {
  if (claims === undefined) return { idToken: await readCredential(context, { fromFile: tokenFile }, "ID token") };
  if (tokenFile === undefined) return { claims: await readDocument(context, claims) };
  throw new CommandFailure(exitCodes.usage, "--token-file and --claims are both given. Keep one.");
}

function explanationText({ paint }: OperatorContext, body: unknown, isLetIn: boolean): string {
  const rules = listAt(body, "rules");
  if (rules.length === 0) return "No rule is there: nobody is let in.";
  const grants = listAt(body, "grants").map(
    (grant) => `\n  ${cellAt(grant, "registry")} ${cellAt(grant, "repositories")}`,
  );
  const end = isLetIn ? `${paint.green("Let in.")} It may pull:${grants.join("")}` : paint.red("No rule lets it in.");
  return `${rules.map((rule) => ruleText(paint, rule)).join("\n\n")}\n\n${end}`;
}

function ruleText(paint: OperatorContext["paint"], rule: unknown): string {
  const mark = (holds: boolean): string => (holds ? paint.green("ok") : paint.red("NO"));
  const head = `${paint.bold(cellAt(rule, "name"))} (${cellAt(rule, "id")})`;
  const token = isObject(rule) ? rule.token : undefined;
  const tokenLine = isObject(token) ? [`  ${mark(token.holds === true)}  token: ${cellAt(token, "message")}`] : [];
  const conditions = listAt(rule, "conditions").map((condition) => {
    const holds = isObject(condition) && condition.holds === true;
    const found = cellAt(condition, "found") || "no such claim";
    const hint = cellAt(condition, "hint");
    const line = `  ${mark(holds)}  ${cellAt(condition, "claim")}: ${cellAt(condition, "expected")}`;
    return holds ? line : `${line}; found ${found}${hint === "" ? "" : `. ${hint}`}`;
  });
  return [head, ...tokenLine, ...conditions].join("\n");
}
