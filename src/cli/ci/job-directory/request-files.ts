import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { listAt, sentenceAt, textAt } from "../../client/json-value.js";
import { explainAnswer } from "../explain-answer.js";
import { type RegistryFailure, readFailures } from "../registry-token.js";
import { askForTokens, type JobClient, type Wanted } from "../request-tokens.js";

/** A file of a job's `/secrets`. */
export type JobFile = { name: string; content: Buffer };

/** What each job gets: the list of its registries. */
export const registriesFile = "container-registries";

/**
 * Asks for what a job's `/secrets` hold.
 * @throws CommandFailure with the sentence for whoever reads the job's log
 */
export async function requestFiles(
  client: JobClient,
  wanted: Wanted,
): Promise<{ files: JobFile[]; failures: RegistryFailure[] }> {
  const answer = await askForTokens(client, wanted, "ci-scripts");
  if (answer.status !== 200) throw await explainAnswer(client, answer);
  const files = listAt(answer.body, "files").map(readJobFile);
  const known = files.filter((file) => file !== undefined);
  if (known.length !== files.length || !known.some(({ name }) => name === registriesFile))
    throw new CommandFailure(
      exitCodes.unavailable,
      `What ${client.settings.url} answers is not what factory-secrets does. Is FACTORY_SECRETS_URL right?`,
    );
  return { files: known, failures: readFailures(answer.body) };
}

// The name becomes a path: whatever a service answers, nothing is written outside of the folder.
function readJobFile(value: unknown): JobFile | undefined {
  const name = sentenceAt(value, "name");
  const content = textAt(value, "contentBase64");
  if (name === undefined || content === undefined || !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/.test(name))
    return undefined;
  return { name, content: Buffer.from(content, "base64") };
}
