import type { Environment } from "../../settings/reader.js";
import { maskTexts } from "../client/mask.js";
import type { Terminal } from "../client/terminal.js";
import { basicOf } from "./docker-config/auth-entries.js";
import type { Credential } from "./registry-token.js";

/** Has the CI system black out every part of these tokens in the job's log, before anything is printed. */
export function maskCredentials(
  environment: Environment,
  terminal: Pick<Terminal, "command">,
  credentials: readonly Credential[],
): void {
  maskTexts(environment, terminal, credentials.flatMap(secretParts));
}

function secretParts(credential: Credential): string[] {
  if (credential.kind === "bearer") return [credential.bearer];
  return [credential.password, basicOf(credential.username, credential.password)];
}
