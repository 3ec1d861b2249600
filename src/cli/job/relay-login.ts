import { join } from "node:path";
import { visibleInline } from "../../core/visible-text.js";
import { askWithRetries, explainNoAnswer } from "../client/ask-with-retries.js";
import type { ClientSettings } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { NoAnswer, sendOnce } from "../client/send-once.js";
import { readDockerConfig, storeFor } from "./docker-config.js";
import { claimsOf, explainAnswer } from "./explain-answer.js";
import { writeLogins } from "./login.js";
import type { JobClient } from "./request-tokens.js";

/** What was written for the relay, without the credential. */
export type RelayLogin = {
  configPath: string;
  /** The relay's host, as it stands in front of images. */
  relay: string;
  username: string;
  /** Absent for a credential without an end. */
  expiresAt?: string;
};

/**
 * The host under which tools know the relay. @throws CommandFailure when images cannot be named there: what stands behind
 * the host in an image's name is never a path of the service.
 */
export function relayHostOf({ url }: Pick<ClientSettings, "url">): string {
  const { host, pathname } = new URL(url);
  if (pathname === "/") return host;
  throw new CommandFailure(
    exitCodes.usage,
    `The relay answers at /v2/ of a host, and FACTORY_SECRETS_URL has a path (${visibleInline(pathname)}). Give the service a host of its own.`,
  );
}

/**
 * Writes the job's own credential into docker's `config.json`, as a password for the relay. An ID token is not sent
 * anywhere before: one of a rule with `singleUse` would be used up.
 * @returns what was written, and the credential, for the log to black out
 * @throws CommandFailure when there is no such login to be written, or the service does not take the credential
 */
export async function loginToRelay(
  client: JobClient,
  directory: string,
): Promise<{ login: RelayLogin; password: string }> {
  const { settings, identity } = client;
  const relay = relayHostOf(settings);
  if (identity.isOperator === true)
    throw new CommandFailure(
      exitCodes.usage,
      "FACTORY_SECRETS_TOKEN is an operator's token, and every program of the job reads docker's config.json. Open a job and log in with its token: factory-secrets jobs open NAME",
    );
  const configPath = join(directory, "config.json");
  await refuseOtherStore(directory, relay);
  const { password, expiresAt } = await credentialOf(client);
  // The user name says which factory an ID token is for.
  const username = settings.factory;
  await writeLogins(directory, [{ registry: relay, kind: "password", username, password }]);
  return { login: { configPath, relay, username, ...(expiresAt !== undefined && { expiresAt }) }, password };
}

/** Any program that docker would ask in place of the file: our own knows registries, not the relay. */
async function refuseOtherStore(directory: string, relay: string): Promise<void> {
  const store = storeFor(await readDockerConfig(directory), relay);
  if (store === undefined) return;
  throw new CommandFailure(
    exitCodes.failed,
    `${join(directory, "config.json")} has docker ask docker-credential-${store} for ${relay}, so a login that is written there would not be read. It is left as it is. Set DOCKER_CONFIG to a folder of this job's own.`,
  );
}

async function credentialOf(client: JobClient): Promise<{ password: string; expiresAt?: string }> {
  const { settings, identity, terminal } = client;
  try {
    if (!identity.isIssuedByService) {
      const password = await identity.present(settings.giveUpAfterMs);
      const end = claimsOf(password)?.exp;
      return { password, ...(typeof end === "number" && { expiresAt: new Date(end * 1_000).toISOString() }) };
    }
    let password = "";
    const answer = await askWithRetries(terminal, settings.giveUpAfterMs, async (timeoutMs) => {
      password = await identity.present(timeoutMs);
      const headers = { authorization: `Bearer ${password}` };
      const url = `${settings.url}/v1/whoami`;
      return sendOnce({ method: "GET", url, headers, authorities: settings.authorities, timeoutMs });
    });
    if (answer.status !== 200) throw await explainAnswer(client, answer);
    const expiresAt = textAt(answer.body, "expiresAt");
    return { password, ...(expiresAt !== undefined && { expiresAt }) };
  } catch (error) {
    if (error instanceof NoAnswer) throw explainNoAnswer(error, settings);
    throw error;
  }
}
