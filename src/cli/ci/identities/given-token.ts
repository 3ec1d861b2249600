import type { ClientName } from "../../../settings/client-names.js";
import { settingOf } from "../../client/client-settings.js";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import type { IdentitySource } from "./job-identity.js";

/** A token of the service (or an ID token) that somebody put into the job. */
export const givenToken: IdentitySource = {
  lookedFor: "FACTORY_SECRETS_TOKEN or FACTORY_SECRETS_TOKEN_FILE: a job token (fsj_...)",
  find: ({ environment }) => identityIn(environment, "FACTORY_SECRETS_TOKEN", "the token"),
};

/** What GitLab's `id_tokens` puts into a variable, and any other CI system into a file. */
export const givenIdToken: IdentitySource = {
  lookedFor:
    "FACTORY_SECRETS_ID_TOKEN or FACTORY_SECRETS_ID_TOKEN_FILE: an ID token (in GitLab: id_tokens: FACTORY_SECRETS_ID_TOKEN: aud: <FACTORY_SECRETS_URL>)",
  find: ({ environment }) => identityIn(environment, "FACTORY_SECRETS_ID_TOKEN", "the ID token"),
};

/** What to make in place of an operator's token. */
export const operatorTokenWarning = (factory: string): string =>
  `Warning: FACTORY_SECRETS_TOKEN is an operator's token. Anything that runs in this job can read it and administer the whole service. Give the job a token of its own instead: factory-secrets jobs open nightly --factory ${factory}, or a trust rule for the CI system's ID tokens: factory-secrets trust-rules templates`;

function identityIn(environment: Parameters<typeof settingOf>[0], name: ClientName, what: string) {
  const token = settingOf(environment, name);
  if (token === undefined) return undefined;
  // In a header a line end would begin another one.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new CommandFailure(
      exitCodes.usage,
      `${name} holds blanks or other characters that no token has. Set it to the token alone, without "Bearer" and without quotes.`,
    );
  return {
    description: `${token.startsWith("fsj_") ? "the job token" : what} in ${name}`,
    secret: token,
    isIssuedByService: token.startsWith("fs"),
    isOperator: token.startsWith("fso_"),
    present: () => Promise.resolve(token),
  };
}
