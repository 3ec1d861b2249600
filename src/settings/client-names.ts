/**
 * The names that the command line in a job reads (docs/ci.md), each also as `<NAME>_FILE`. The server has no use for
 * them and lets them be: on a machine that runs both, one environment holds the settings of both.
 */
export const clientNames = {
  FACTORY_SECRETS_URL: "Where the service is.",
  FACTORY_SECRETS_FACTORY: "Name of the factory.",
  FACTORY_SECRETS_TOKEN: "A job token, or another token of the service.",
  FACTORY_SECRETS_ID_TOKEN: "An ID token of the CI system, such as GitLab's id_tokens.",
  FACTORY_SECRETS_AUDIENCE: "The audience of the ID tokens that the job asks for. Default: the URL.",
} as const;

export type ClientName = keyof typeof clientNames;
