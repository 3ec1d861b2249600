import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { listAll, pathOf } from "./ask-service.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";

export const rulesPath = (client: OperatorClient, ...id: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "trust-rules", ...id);

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The rule of this name, if there is one: names are unique in a factory. */
export async function findRule(client: OperatorClient, name: string): Promise<unknown> {
  return (await listAll(client, rulesPath(client))).find((rule) => textAt(rule, "name") === name);
}

/** @param rule - its id or its name @throws CommandFailure when there is none of that name */
export async function idOfRule(client: OperatorClient, rule: string): Promise<string> {
  if (uuid.test(rule)) return rule;
  const id = textAt(await findRule(client, rule), "id");
  if (id !== undefined) return id;
  throw new CommandFailure(
    exitCodes.refused,
    `There is no trust rule "${rule}". See: factory-secrets trust-rules list`,
  );
}
