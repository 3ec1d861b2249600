import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import { textAt } from "../../client/json-value.js";
import { explainAnswer } from "../explain-answer.js";
import { askOfFactory, type JobClient } from "../request-tokens.js";

/** Temporary AWS credentials in AWS's own names, as the service hands them out and AWS's programs read them. */
export type AwsCredentials = { AccessKeyId: string; SecretAccessKey: string; Token: string; Expiration: string };

/**
 * Asks for AWS credentials that are narrowed to what this job may pull.
 * @param registry - host or id of the entry; not needed where there is only one of type aws
 * @throws CommandFailure with the sentence for whoever reads the job's log
 */
export async function requestCredentials(client: JobClient, registry: string | undefined): Promise<AwsCredentials> {
  const query = registry === undefined ? "" : `?registry=${encodeURIComponent(registry)}`;
  const answer = await askOfFactory(client, { method: "GET", path: `aws-credentials${query}` });
  if (answer.status !== 200) throw await explainAnswer(client, answer);
  const AccessKeyId = textAt(answer.body, "AccessKeyId");
  const SecretAccessKey = textAt(answer.body, "SecretAccessKey");
  const Token = textAt(answer.body, "Token");
  const Expiration = textAt(answer.body, "Expiration");
  if (AccessKeyId === undefined || SecretAccessKey === undefined || Token === undefined || Expiration === undefined) {
    throw new CommandFailure(
      exitCodes.unavailable,
      `What ${client.settings.url} answers is not what factory-secrets does. Is FACTORY_SECRETS_URL right?`,
    );
  }
  return { AccessKeyId, SecretAccessKey, Token, Expiration };
}
