import type { Connection } from "../client/client-settings.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { explainStranger } from "../client/explain-stranger.js";
import { isObject, sentenceAt, textAt } from "../client/json-value.js";
import { NoAnswer, sendOnce } from "../client/send-once.js";
import type { SavedCredential } from "./saved-logins.js";

/** Who asks. */
export type OperatorIdentity = {
  /** As a person knows it: `ofEnvironment`, or the login. */
  description: string;
  /** A token to present, which is valid for now. */
  present(timeoutMs: number): Promise<string>;
};

/** Where a token comes from that no login has kept. */
export const ofEnvironment = "the token in FACTORY_SECRETS_TOKEN";

/** A credential as it is presented. `description` says where it comes from. */
export function identityOf(credential: SavedCredential, description: string, connection: Connection): OperatorIdentity {
  if ("token" in credential) return { description, present: () => Promise.resolve(credential.token) };
  let held: { token: string; untilMs: number } | undefined;
  return {
    description,
    async present(timeoutMs) {
      if (held === undefined || Date.now() >= held.untilMs)
        held = await exchange(credential, description, { ...connection, patienceMs: timeoutMs });
      return held.token;
    },
  };
}

type Client = { clientId: string; clientSecret: string };

/** An access token for a client. Source: RFC 6749, section 4.4. */
async function exchange(client: Client, description: string, connection: Connection) {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: client.clientId,
    client_secret: client.clientSecret,
  });
  const answer = await sendOnce({
    method: "POST",
    url: `${connection.url}/oauth/token`,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: form.toString(),
    authorities: connection.authorities,
    timeoutMs: connection.patienceMs,
  }).catch((error: unknown) => {
    // The request that the token is for was not sent at all.
    throw error instanceof NoAnswer ? new NoAnswer(error.message, error.isPassing, true, error.mayBeTls) : error;
  });
  const token = textAt(answer.body, "access_token");
  const seconds = isObject(answer.body) ? answer.body.expires_in : undefined;
  if (answer.status === 200 && token !== undefined && typeof seconds === "number")
    return { token, untilMs: Date.now() + seconds * 1_000 };
  const detail = sentenceAt(answer.body, "detail");
  if (detail === undefined) throw explainStranger(connection.url, answer);
  const { status, retryAfterSeconds } = answer;
  if (retryAfterSeconds !== undefined || status === 429 || status >= 500)
    throw new NoAnswer(detail, true, true, false, retryAfterSeconds);
  throw new CommandFailure(exitCodes.notAccepted, `The service does not accept ${description}.\n${detail}`);
}
