import { askWithRetries, explainNoAnswer, unknownAnswer } from "../client/ask-with-retries.js";
import type { ClientSettings } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import type { Terminal } from "../client/output.js";
import { type Answer, NoAnswer, sendOnce } from "../client/send-once.js";
import { explainAnswer, explainFailures } from "./explain-answer.js";
import type { JobIdentity } from "./find-identity.js";
import { type RegistryFailure, type RegistryToken, readFailures, readTokens } from "./registry-token.js";

export type JobClient = { settings: ClientSettings; identity: JobIdentity; terminal: Pick<Terminal, "say" | "note"> };

/** What to ask for. Without `registries`: everything that this job may have. */
export type Wanted = {
  registries: readonly string[];
  /** Of the one registry. */
  repositories: readonly string[];
  /** Several registries, each with its repositories, in place of the two above. */
  requests?: readonly { registry: string; repositories?: readonly string[] }[];
  /** Accept the tokens that exist, and report the registries that gave none. */
  allowPartial: boolean;
  /** Accept a token for more than `repositories` when the cloud cannot limit it. */
  allowBroader: boolean;
};

/** Asks for registry tokens, and returns any answer. @throws CommandFailure when there is none */
export function askForTokens(
  client: JobClient,
  wanted: Wanted,
  format: "tokens" | "ci-scripts" = "tokens",
): Promise<Answer> {
  const body = JSON.stringify({ ...bodyOf(wanted), format });
  return askOfFactory(client, { method: "POST", path: "registry-tokens", body });
}

/** Sends a request, with retries. `path` is below that of the factory. @throws CommandFailure without an answer */
export async function askOfFactory(
  { settings, identity, terminal }: JobClient,
  { method, path, body }: { method: "GET" | "POST"; path: string; body?: string },
): Promise<Answer> {
  const url = `${settings.url}/v1/factories/${encodeURIComponent(settings.factory)}/${path}`;
  try {
    return await askWithRetries(terminal, settings.giveUpAfterMs, async (timeoutMs) => {
      const token = await identity.present(timeoutMs);
      return sendOnce({
        method,
        url,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body }),
        authorities: settings.authorities,
        timeoutMs,
      });
    });
  } catch (error) {
    if (error instanceof NoAnswer) throw explainNoAnswer(error, settings);
    throw error;
  }
}

/**
 * Asks for registry tokens.
 * @throws CommandFailure when the service refuses, does not answer, or has no token
 */
export async function requestTokens(
  client: JobClient,
  wanted: Wanted,
): Promise<{ tokens: RegistryToken[]; failures: RegistryFailure[] }> {
  const answer = await askForTokens(client, wanted);
  if (answer.status !== 200) throw await explainAnswer(client, answer);
  const tokens = readTokens(answer.body);
  if (!tokens) throw unknownAnswer(client.settings.url);
  const failures = readFailures(answer.body);
  // Also with `allowPartial`: no token at all is a failure.
  if (tokens.length === 0 && failures.length === 0)
    throw new CommandFailure(
      exitCodes.refused,
      `There is nothing to log in to: the factory "${client.settings.factory}" has no registry entries. Add one: factory-secrets registries add`,
    );
  if (tokens.length === 0) throw explainFailures(failures);
  return { tokens, failures };
}

function bodyOf({ registries, repositories, requests, ...allowed }: Wanted): Record<string, unknown> {
  if (requests) return { ...allowed, requests };
  const [registry, ...more] = registries;
  if (registry === undefined) return allowed;
  if (more.length > 0) return { ...allowed, requests: registries.map((one) => ({ registry: one })) };
  return { ...allowed, registry, ...(repositories.length > 0 && { repositories }) };
}
