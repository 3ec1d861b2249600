import type { RegistryEntry, RegistryType } from "../../factory-config/entry.js";
import { parseAwsCredentials, resolveAwsProfile } from "./aws-credentials.js";
import { parseAzurePrincipal } from "./azure-principal.js";
import type { FormatResult } from "./format-result.js";
import { parseGoogleServiceAccount } from "./google-service-account.js";
import { parseUserPassword } from "./user-password.js";

export type CredentialWarning = { code: "credential-malformed" | "line-ignored"; message: string };

const what: Readonly<Record<RegistryType, string>> = {
  aws: "an AWS credentials file",
  azure: "an Azure principal",
  gar: "a Google service account key",
  generic: "a registry user and token",
};

/**
 * Says what a registry entry of `type` will not be able to use in `text`, so that whoever writes the secret hears it
 * then and not when a job fails. An empty list: it has the right form. Never quotes the text.
 */
export function checkCredentialText(type: RegistryType, text: string): CredentialWarning[] {
  return warningsOf(parseCredentialText(type, text), `A registry entry uses this secret as ${what[type]}.`);
}

/**
 * Why an entry cannot work with `text`, in sentences that never quote it. An empty list: the form is right.
 */
export function mistakesFor(entry: RegistryEntry, text: string): readonly string[] {
  if (entry.type !== "aws") return mistakesOf(parseCredentialText(entry.type, text));
  const profiles = parseAwsCredentials(text);
  return mistakesOf(profiles.ok ? resolveAwsProfile(profiles.value, entry.profile ?? "default") : profiles);
}

const mistakesOf = (result: FormatResult<unknown>): readonly string[] => (result.ok ? [] : result.mistakes);

// Keys that mean something to AWS programs only, the forbidden ones included.
const awsKey =
  /^[ \t]*(?:aws_access_key_id|aws_secret_access_key|role_arn|source_profile|credential_process|credential_source|web_identity_token_file|sso_[a-z_]+)[ \t]*[=:]/im;

/**
 * The same for a secret that no entry names yet, which is how secrets are usually written: first the secret, then the
 * config. Only an AWS credentials file can be told by its text, and it is the one in which a key can be dangerous.
 */
export function checkUnnamedCredentialText(text: string): CredentialWarning[] {
  if (!awsKey.test(text)) return [];
  return warningsOf(parseAwsCredentials(text), `This looks like ${what.aws}, and a registry entry could not use it.`);
}

function warningsOf(result: FormatResult<unknown>, introduction: string): CredentialWarning[] {
  if (result.ok) return (result.remarks ?? []).map((message) => ({ code: "line-ignored", message }));
  return result.mistakes.map((sentence) => ({ code: "credential-malformed", message: `${introduction} ${sentence}` }));
}

function parseCredentialText(type: RegistryType, text: string): FormatResult<unknown> {
  switch (type) {
    case "aws":
      return parseAwsCredentials(text);
    case "azure":
      return parseAzurePrincipal(text);
    case "gar":
      return parseGoogleServiceAccount(text);
    case "generic":
      return parseUserPassword(text);
    default:
      return type satisfies never;
  }
}
