import { readFileSync } from "node:fs";
import { Command } from "commander";
import { expect, test } from "vitest";
import { exitCodes } from "../../../src/cli/client/command-failure.js";
import { auditCommands } from "../../../src/cli/operator/audit-commands.js";
import { commandTree } from "../../../src/cli/operator/completion.js";
import { operatorCommands } from "../../../src/cli/operator/operator-commands.js";
import { serverCommands } from "../../../src/cli/server/server-commands.js";
import { clientNames } from "../../../src/settings/client-names.js";

const text = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");

/** The first cells of the tables below a heading. */
function cellsBelow(heading: string): string[] {
  const section = text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/^\| ([^|]+) \|/gm)].map(([, cell = ""]) => cell.replaceAll("`", "").trim());
}

test("docs/cli.md has a line for every command, in the order of help", () => {
  const unused = () => {
    throw new Error("only looked at");
  };
  const program = new Command();
  for (const command of operatorCommands({ open: unused, finish: unused })) program.addCommand(command);
  const leaves = (root: Command): string[] =>
    commandTree(root)
      .filter(({ subcommands, path }) => subcommands.length === 0 && path !== "")
      .map(({ path }) => path.slice(1).replaceAll("/", " "));
  const audit = leaves(new Command().addCommand(auditCommands({ open: unused, finish: unused })));
  const server = new Command();
  for (const command of serverCommands({ environment: {}, say: unused }, { open: unused, finish: unused }))
    server.addCommand(command);
  const documented = cellsBelow("Every command").filter((cell) => cell !== "command" && !cell.startsWith("---"));
  expect(documented).toEqual([
    ...leaves(program),
    ...audit,
    "completion",
    ...leaves(server).filter((command) => !audit.includes(command)),
  ]);
});

test("docs/cli.md lists every exit code but the one of ci exec", () => {
  const { notStarted: _, ...others } = exitCodes;
  expect(cellsBelow("Exit codes").slice(2)).toEqual(Object.values(others).map(String));
});

test("docs/cli.md names only settings that are read", () => {
  const named = cellsBelow("Log in").filter((cell) => cell.startsWith("FACTORY_SECRETS_"));
  const known = [...Object.keys(clientNames), "FACTORY_SECRETS_CA_FILE"];
  expect(named.filter((name) => !known.includes(name))).toEqual([]);
});
