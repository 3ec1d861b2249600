import type { Environment } from "../../settings/reader.js";
import type { Terminal } from "./terminal.js";

/**
 * Has the CI system black out texts in the job's log. GitHub's runner reads its commands from standard error too, so
 * that what is captured from standard output stays what was asked for. Others have no such command.
 * Source: GitHub documentation, "Workflow commands for GitHub Actions", masking a value.
 */
export function maskTexts(
  environment: Environment,
  { command }: Pick<Terminal, "command">,
  texts: readonly string[],
): void {
  if (environment.GITHUB_ACTIONS !== "true") return;
  for (const text of new Set(texts)) if (text !== "") command(`::add-mask::${escapeCommand(text)}`);
}

/** GitLab masks only what its settings list: what is printed there stands in the log for all who may read it. */
export function warnOfPrinting(environment: Environment, { say }: Pick<Terminal, "say">): void {
  if (environment.GITLAB_CI !== "true") return;
  say("Warning: GitLab cannot mask this token. Unless it is captured, as in TOKEN=$(...), it stands in the job's log.");
}

// A line end would end the command, and show the rest.
const escapeCommand = (text: string): string =>
  text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
