import type { Environment } from "../../settings/reader.js";
import type { Terminal } from "../client/command-failure.js";
import { basicOf } from "./docker-config/auth-entries.js";
import type { Credential } from "./registry-token.js";

/**
 * Has the CI system black out the parts of a token in the job's log. GitHub's runner reads its commands from standard
 * error too, so that what is captured from standard output stays what was asked for. Others have no such command.
 * Source: GitHub documentation, "Workflow commands for GitHub Actions", masking a value.
 */
export function maskCredentials(
  environment: Environment,
  { say }: Pick<Terminal, "say">,
  credentials: readonly Credential[],
): void {
  maskTexts(environment, { say }, credentials.flatMap(secretParts));
}

/** As `maskCredentials`, for any texts. */
export function maskTexts(environment: Environment, { say }: Pick<Terminal, "say">, texts: readonly string[]): void {
  if (environment.GITHUB_ACTIONS !== "true") return;
  for (const text of new Set(texts)) if (text !== "") say(`::add-mask::${escapeCommand(text)}`);
}

/** GitLab masks only what its settings list: what is printed there stands in the log for all who may read it. */
export function warnOfPrinting(environment: Environment, { say }: Pick<Terminal, "say">): void {
  if (environment.GITLAB_CI !== "true") return;
  say("Warning: GitLab cannot mask this token. Unless it is captured, as in TOKEN=$(...), it stands in the job's log.");
}

function secretParts(credential: Credential): string[] {
  if (credential.kind === "bearer") return [credential.bearer];
  return [credential.password, basicOf(credential.username, credential.password)];
}

// A line end would end the command, and show the rest.
const escapeCommand = (text: string): string =>
  text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
