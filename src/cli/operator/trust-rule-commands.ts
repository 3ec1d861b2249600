import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, type JsonObject, listAt, textAt } from "../client/json-value.js";
import { documentOf } from "../client/print-document.js";
import { call, listAll } from "./call.js";
import type { Argument, Row, Run } from "./command.js";
import { readCredential, readDocument } from "./given-input.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";
import { cellAt, type Paint, sayWarnings, tableOf } from "./print.js";

const rule: Argument = [
  "<rule>",
  "its id or its name",
  { to: "id", read: (given, run) => idOfRule(run.client, given) },
];

export const trustRuleRows: readonly Row[] = [
  {
    words: "trust-rules list",
    about: "all rules",
    calls: "listTrustRules",
    columns: "id name template issuer version findings",
  },
  {
    words: "trust-rules show <rule>",
    about: "one rule",
    operands: [rule],
    calls: "getTrustRule",
    example: "factory-secrets trust-rules show 'main branch' --output yaml",
  },
  {
    words: "trust-rules put <file>",
    about: "create the rule that a file describes, or change the rule of its name",
    operands: [["<file>", "the rule as YAML or JSON, with the members of the API; - is standard input"]],
    more: "It accepts what `show` and `templates NAME` print with --output yaml or json.",
    run: putRule,
    example:
      "factory-secrets trust-rules show 'main branch' --output yaml > rule.yml\nfactory-secrets trust-rules put rule.yml",
  },
  {
    words: "trust-rules rm <rule>",
    about: "withdraw a rule: callers that only this rule accepts are refused at once",
    operands: [rule],
    calls: "deleteTrustRule",
    confirm: "The rule {rule} would be withdrawn.",
    says: "Withdrew the rule {rule}.",
    example: "factory-secrets trust-rules rm 'main branch'",
  },
  {
    words: "trust-rules explain",
    about: "why a token is accepted or refused, condition by condition; exit code 0: accepted, 1: refused",
    options: [
      ["--token-file <file>", "the ID token; - is standard input. Without it, you are asked for it"],
      ["--claims <file>", "only the claims of a token, YAML or JSON"],
    ],
    more: "The token is neither consumed nor stored.",
    run: explainRules,
    example: "factory-secrets trust-rules explain --token-file id-token.txt",
  },
  {
    words: "trust-rules templates [name]",
    about: "known issuers: the claims of their tokens, and what a rule must bind",
    operands: [["[name]", "only this one, with an example of a rule; --output yaml prints that rule alone"]],
    run: showTemplates,
    example:
      "factory-secrets trust-rules templates gitlab\nfactory-secrets trust-rules templates gitlab --output yaml > rule.yml",
  },
  {
    words: "trust-rules lint",
    about: "check the rules with the current linter; exit code 1 when it finds something",
    run: lintRules,
  },
];

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The rule of this name; names are unique in a factory. */
async function findRule(client: OperatorClient, name: string): Promise<unknown> {
  return (await listAll(client, "listTrustRules")).find((one) => textAt(one, "name") === name);
}

async function idOfRule(client: OperatorClient, given: string): Promise<string> {
  if (uuid.test(given)) return given;
  const id = textAt(await findRule(client, given), "id");
  if (id !== undefined) return id;
  throw new CommandFailure(
    exitCodes.refused,
    `There is no trust rule "${given}". To see the rules: factory-secrets trust-rules list`,
  );
}

/** What the service adds to a rule when it shows it. */
const shownOnly = ["id", "version", "createdAt", "createdBy", "updatedAt", "findings"];

async function putRule(run: Run): Promise<void> {
  const { context, client } = run;
  const [file = ""] = run.operands;
  factoryOf(client);
  const given = await readDocument(context, file);
  const members = Object.fromEntries(Object.entries(given).filter(([name]) => !shownOnly.includes(name)));
  const name = textAt(members, "name");
  if (name === undefined)
    throw new CommandFailure(exitCodes.usage, `${file}: the rule has no name. Add a line such as: name: main branch`);
  // The id wins over the name, so that a rule can be renamed.
  const id = textAt(given, "id") ?? textAt(await findRule(client, name), "id");
  // The version that `show` printed: must not undo a later change.
  const tag = typeof given.version === "number" ? `"${given.version}"` : undefined;
  const { body } =
    id === undefined
      ? await call(client, "createTrustRule", members)
      : await call(client, "replaceTrustRule", { ...members, id, "If-Match": tag });
  sayWarnings(context.terminal, body);
  const verb = id === undefined ? "Created" : "Changed";
  await run.print(body, () => `${verb} "${name}", ${cellAt(body, "id")}.`);
}

async function explainRules(run: Run): Promise<void> {
  const { context, client } = run;
  const { tokenFile, claims } = run.given<{ tokenFile?: string; claims?: string }>();
  factoryOf(client);
  if (tokenFile !== undefined && claims !== undefined)
    throw new CommandFailure(exitCodes.usage, "--token-file and --claims are both given. Keep one.");
  const question =
    claims === undefined
      ? { idToken: await readCredential(context, { fromFile: tokenFile }, "ID token") }
      : { claims: await readDocument(context, claims) };
  const { body } = await call(client, "explainTrustRules", question);
  const isAccepted = isObject(body) && body.matches === true;
  await run.print(body, () => explanationText(context.paint, body, isAccepted));
  if (!isAccepted) run.finish(exitCodes.failed);
}

function explanationText(paint: Paint, body: unknown, isAccepted: boolean): string {
  const rules = listAt(body, "rules");
  if (rules.length === 0) return "The factory has no trust rules, so every token is refused.";
  const grants = listAt(body, "grants").map(
    (grant) => `\n  ${cellAt(grant, "registry")} ${cellAt(grant, "repositories")}`,
  );
  const end = isAccepted
    ? `${paint.green("Accepted.")} It may pull:${grants.join("")}`
    : paint.red("No rule accepts it. The lines marked NO say why.");
  return `${rules.map((one) => ruleText(paint, one)).join("\n\n")}\n\n${end}`;
}

function ruleText(paint: Paint, one: unknown): string {
  const mark = (holds: boolean): string => (holds ? paint.green("ok") : paint.red("NO"));
  const token = isObject(one) ? one.token : undefined;
  const tokenLine = isObject(token) ? [`  ${mark(token.holds === true)}  token: ${cellAt(token, "message")}`] : [];
  const conditions = listAt(one, "conditions").map((condition) => {
    const holds = isObject(condition) && condition.holds === true;
    const hint = cellAt(condition, "hint");
    const line = `  ${mark(holds)}  ${cellAt(condition, "claim")}: ${cellAt(condition, "expected")}`;
    const found = cellAt(condition, "found") || "no such claim";
    return holds ? line : `${line}; found ${found}${hint === "" ? "" : `. ${hint}`}`;
  });
  return [`${paint.bold(cellAt(one, "name"))} (${cellAt(one, "id")})`, ...tokenLine, ...conditions].join("\n");
}

async function showTemplates(run: Run): Promise<void> {
  const { paint } = run.context;
  const [name] = run.operands;
  const { body } = await call(run.client, "listTrustRuleTemplates");
  const items = listAt(body, "items");
  if (name === undefined) return run.print({ items }, () => tableOf(paint, items, "name title issuer"));
  const found = items.find((item) => textAt(item, "name") === name);
  if (found === undefined)
    throw new CommandFailure(
      exitCodes.refused,
      `There is no template "${name}". To see the templates: factory-secrets trust-rules templates`,
    );
  const example = exampleRule(run.client, name, found);
  const text = await documentOf("yaml", example);
  await run.print(example, () =>
    [
      `${cellAt(found, "title")}\n\nissuer:    ${cellAt(found, "issuer")}\naudience:  ${cellAt(found, "audience")}\nmust bind: ${cellAt(found, "mustBind")}\n`,
      tableOf(paint, listAt(found, "claims"), "claim type use about"),
      `\nA rule to start from (every value is an example; \`put\` reads it from a file):\n\n${text}`,
    ].join("\n"),
  );
}

/** A whole rule, as `put` accepts it. */
function exampleRule({ connection }: OperatorClient, name: string, template: unknown): JsonObject {
  const example = isObject(template) && isObject(template.example) ? template.example : {};
  return {
    name: `example for ${name}`,
    ...example,
    // The default audience of a job.
    audience: connection.url,
    grants: [{ registry: "registry.example.com", repositories: ["team/app"], actions: ["pull"] }],
  };
}

async function lintRules(run: Run): Promise<void> {
  const rules = await listAll(run.client, "listTrustRules");
  const items = rules.flatMap((one) =>
    listAt(one, "findings").map((finding) => ({
      rule: textAt(one, "name") ?? "",
      ...(isObject(finding) ? finding : {}),
    })),
  );
  if (items.length === 0) run.context.terminal.say(`No findings in ${rules.length} rules.`);
  else run.finish(exitCodes.failed);
  if (items.length > 0 || run.isForProgram)
    await run.print({ items }, () => tableOf(run.context.paint, items, "rule severity at WHAT=message"));
}
