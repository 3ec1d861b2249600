import { Command } from "commander";
import { expect, test } from "vitest";
import { connectionIn, operandKind } from "../../../../src/cli/operator/completion.js";

import { operatorCommands } from "../../../../src/cli/operator/operator-commands.js";

const unused = () => {
  throw new Error("only looked at");
};

/** The first operand of each command, by the path of the command. */
function firstOperands(command: Command, path = ""): [path: string, operand: string][] {
  const [operand] = command.registeredArguments;
  const own: [string, string][] = operand ? [[path, operand.name()]] : [];
  return [...own, ...command.commands.flatMap((one) => firstOperands(one, `${path}/${one.name()}`))];
}

test("every operand that names a thing that is there is completed, and what is new or a file is not", () => {
  const program = new Command();
  for (const command of operatorCommands({ open: unused, finish: unused })) program.addCommand(command);
  const others = firstOperands(program).filter(([path]) => operandKind(path) === undefined);
  expect(Object.fromEntries(others)).toEqual({
    "/config/check": "file",
    "/config/put": "file",
    "/config/restore": "version",
    "/jobs/open": "name",
    "/trust-rules/put": "file",
    "/trust-rules/templates": "name",
    "/devices/authorities/add": "name",
    "/devices/deny": "device",
    "/api-tokens/create": "name",
    "/oauth-clients/create": "name",
    "/factories/create": "name",
  });
});

test.each([
  [["--url", "https://a.example", "secrets"], { url: "https://a.example" }],
  [["secrets", "--url=https://a.example:8443/x"], { url: "https://a.example:8443/x" }],
  // As bash takes them apart.
  [["--url", "=", "https", ":", "//a.example", ":", "8443/x", "secrets"], { url: "https://a.example:8443/x" }],
  [["--factory", "=", "acme", "--ca-file", "ca.pem"], { factory: "acme", caFile: "ca.pem" }],
  [["--factory", "one", "--factory", "two"], { factory: "two" }],
  [["--factory"], {}],
])("of %j the names are asked for at %j", (words, connection) => {
  expect(connectionIn(words)).toEqual(connection);
});
