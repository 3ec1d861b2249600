import type { Command } from "commander";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, type JsonObject, listAt, textAt } from "../client/json-value.js";
import { documentOf } from "../client/print-document.js";
import { ask, listAll } from "./ask-service.js";
import { type CommandDeps, group, type Run, serviceCommand } from "./define-command.js";
import type { OperatorClient } from "./operator-client.js";
import { confirm } from "./person.js";
import { cellAt, type OutputFlags, printItems, printOne, printReply, tableOf } from "./print-reply.js";
import { readDocument } from "./read-document.js";
import { explainCommand } from "./trust-rule-explain.js";
import { findRule, idOfRule, rulesPath } from "./trust-rule-path.js";

/** `trust-rules ...`. */
export function trustRuleCommands(deps: CommandDeps): Command {
  const commands = [listCommand(deps), showCommand(deps), putCommand(deps), rmCommand(deps), explainCommand(deps)];
  return group(
    "trust-rules",
    "which ID tokens of CI systems and clusters are let in",
    [...commands, templatesCommand(deps), lintCommand(deps)],
    "factory-secrets trust-rules templates github-actions\nfactory-secrets trust-rules put rule.yml",
  );
}

const ruleOperand = ["<rule>", "its id or its name"] as const;

const listCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    { name: "list", about: "all rules", prints: true, example: "factory-secrets trust-rules list" },
    async ({ context, client }, { output }) =>
      printItems(context, output, await listAll(client, rulesPath(client)), [
        ["ID", "id"],
        ["NAME", "name"],
        ["TEMPLATE", "template"],
        ["ISSUER", "issuer"],
        ["VERSION", "version"],
        ["FINDINGS", (rule) => String(listAt(rule, "findings").length)],
      ]),
  );

const showCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "show",
      about: "one rule",
      operands: [ruleOperand],
      prints: true,
      example: "factory-secrets trust-rules show 'main branch' --output yaml",
    },
    async ({ context, client }, { output }, [rule = ""]) => {
      const path = rulesPath(client, await idOfRule(client, rule));
      await printOne(context, output, (await ask(client, { method: "GET", path })).body);
    },
  );

/** What the service adds to a rule when it shows it. */
const shownOnly = ["id", "version", "createdAt", "createdBy", "updatedAt", "findings"];

const putCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "put",
      about: "make the rule that a file describes, or change the one of its name",
      operands: [["<file>", "the rule as YAML or JSON, with the members of the API; - is standard input"]],
      more: "What `show` and `templates NAME` print with --output yaml or json is taken as it is.",
      prints: true,
      example:
        "factory-secrets trust-rules show 'main branch' --output yaml > rule.yml\nfactory-secrets trust-rules put rule.yml",
    },
    putRule,
  );

async function putRule({ context, client }: Run, { output }: OutputFlags, [file = ""]: readonly string[]) {
  const given = await readDocument(context, file);
  const json = Object.fromEntries(Object.entries(given).filter(([name]) => !shownOnly.includes(name)));
  const name = textAt(json, "name");
  if (name === undefined) throw new CommandFailure(exitCodes.usage, `${file}: the rule has no name.`);
  // The id comes first, so that a rule can be given another name.
  const id = textAt(given, "id") ?? textAt(await findRule(client, name), "id");
  const { body } =
    id === undefined
      ? await ask(client, { method: "POST", path: rulesPath(client), json })
      : await ask(client, { method: "PUT", path: rulesPath(client, id), json, ifMatch: versionTag(given) });
  for (const finding of listAt(body, "findings"))
    context.terminal.say(`Warning: ${cellAt(finding, "at")}: ${cellAt(finding, "message")}`);
  await printReply(
    context,
    output,
    body,
    () => `${id === undefined ? "Made" : "Changed"} "${name}", ${cellAt(body, "id")}.`,
  );
}

/** Of what was read with `show`: nobody's later change is undone. */
function versionTag({ version }: Readonly<Record<string, unknown>>): string | undefined {
  return typeof version === "number" ? `"${version}"` : undefined;
}

const rmCommand = (deps: CommandDeps): Command =>
  serviceCommand<{ yes?: boolean }>(
    deps,
    {
      name: "rm",
      about: "withdraw a rule: whoever it alone let in is refused at once",
      operands: [ruleOperand],
      options: [["-y, --yes", "do not ask"]],
      example: "factory-secrets trust-rules rm 'main branch'",
    },
    async ({ context, client }, { yes }, [rule = ""]) => {
      const path = rulesPath(client, await idOfRule(client, rule));
      await confirm(context.person, yes, `The rule ${rule} would be withdrawn.`);
      await ask(client, { method: "DELETE", path });
      context.terminal.say(`Withdrew ${rule}.`);
    },
  );

const templatesCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "templates",
      about: "what is known of issuers: what their tokens say, and what a rule must bind",
      operands: [["[name]", "only this one, with a rule to begin with; --output yaml prints that rule alone"]],
      prints: true,
      example:
        "factory-secrets trust-rules templates gitlab\nfactory-secrets trust-rules templates gitlab --output yaml > rule.yml",
    },
    async ({ context, client }, { output }, [name]) => {
      const { body } = await ask(client, { method: "GET", path: "/v1/trust-rule-templates" });
      const items = listAt(body, "items");
      if (name === undefined)
        return printItems(context, output, items, [
          ["NAME", "name"],
          ["TITLE", "title"],
          ["ISSUER", "issuer"],
        ]);
      const found = items.find((item) => textAt(item, "name") === name);
      if (found === undefined) throw new CommandFailure(exitCodes.refused, `There is no template "${name}".`);
      const rule = ruleToBegin(client, name, found);
      const text = await documentOf("yaml", rule);
      await printReply(context, output, rule, () =>
        [
          `${cellAt(found, "title")}\n\nissuer:    ${cellAt(found, "issuer")}\naudience:  ${cellAt(found, "audience")}\nmust bind: ${cellAt(found, "mustBind")}\n`,
          tableOf(context, listAt(found, "claims"), [
            ["CLAIM", "claim"],
            ["TYPE", "type"],
            ["USE", "use"],
            ["ABOUT", "about"],
          ]),
          `\nTo begin with (every value is an example; put takes it from a file):\n\n${text}`,
        ].join("\n"),
      );
    },
  );

/** A whole rule, as `put` takes it. What the template cannot know is filled in: the rule says so with its name. */
function ruleToBegin({ connection }: OperatorClient, name: string, template: unknown): JsonObject {
  const example = isObject(template) && isObject(template.example) ? template.example : {};
  return {
    name: `example for ${name}`,
    ...example,
    // What a job names without --audience.
    audience: connection.url,
    grants: [{ registry: "registry.example.com", repositories: ["team/app"], actions: ["pull"] }],
  };
}

const lintCommand = (deps: CommandDeps): Command =>
  serviceCommand(
    deps,
    {
      name: "lint",
      about: "what today's linter says of the rules that are there; exit code 1 when it says anything",
      prints: true,
      example: "factory-secrets trust-rules lint",
    },
    async ({ context, client, finish }, { output }) => {
      const rules = await listAll(client, rulesPath(client));
      const findings = rules.flatMap((rule) =>
        listAt(rule, "findings").map((finding) => ({
          rule: textAt(rule, "name") ?? "",
          ...(isObject(finding) ? finding : {}),
        })),
      );
      if (findings.length === 0) context.terminal.say(`Nothing to say of ${rules.length} rules.`);
      else finish(exitCodes.failed);
      if (findings.length === 0 && (output === undefined || output === "table")) return;
      await printItems(context, output, findings, [
        ["RULE", "rule"],
        ["SEVERITY", "severity"],
        ["AT", "at"],
        ["WHAT", "message"],
      ]);
    },
  );
