import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { textAt } from "../../client/json-value.js";
import { NoAnswer, sendOnce } from "../../client/send-once.js";
import type { FindDeps, IdentitySource } from "./job-identity.js";

/**
 * GitHub Actions: the runner gives a URL and a token to ask it with for an ID token of the job.
 * Source: GitHub documentation, "OpenID Connect reference", requesting the JWT with environment variables.
 */
export const githubActions: IdentitySource = {
  lookedFor: "ACTIONS_ID_TOKEN_REQUEST_URL: GitHub sets it for jobs with `permissions: id-token: write`",
  find({ environment, settings }) {
    const url = environment.ACTIONS_ID_TOKEN_REQUEST_URL;
    const token = environment.ACTIONS_ID_TOKEN_REQUEST_TOKEN;
    if (!url || !token || !URL.canParse(url)) return undefined;
    return {
      description: "the ID token of this GitHub Actions job",
      secret: token,
      isIssuedByService: false,
      present: (timeoutMs) => ask({ url, token, settings, timeoutMs }),
    };
  },
};

type Request = { url: string; token: string; settings: FindDeps["settings"]; timeoutMs: number };

async function ask({ url, token, settings, timeoutMs }: Request): Promise<string> {
  const withAudience = new URL(url);
  withAudience.searchParams.set("audience", settings.audience);
  const answer = await sendOnce({
    method: "GET",
    url: withAudience.href,
    headers: { authorization: `Bearer ${token}` },
    authorities: settings.authorities,
    timeoutMs,
  });
  const idToken = textAt(answer.body, "value");
  if (answer.status === 200 && idToken !== undefined) return idToken;
  const sentence = `GitHub gave no ID token for this job: it answered ${answer.status}.`;
  if (answer.status === 429 || answer.status >= 500) throw new NoAnswer(sentence, true);
  throw new CommandFailure(exitCodes.noIdentity, `${sentence} Does the job have \`permissions: id-token: write\`?`);
}
