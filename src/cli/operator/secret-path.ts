import { pathOf } from "./ask-service.js";
import { factoryOf, type OperatorClient } from "./operator-client.js";

/** The path of all secrets, or of the one with this name. */
export const secretPath = (client: OperatorClient, ...name: readonly string[]): string =>
  pathOf("v1", "factories", factoryOf(client), "secrets", ...name);
