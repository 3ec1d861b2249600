import type { RegistryEntry, RegistryType } from "../../factory-config/entry.js";
import { parseAwsCredentials, resolveAwsProfile } from "../providers/aws/credentials-file.js";
import { parseAzurePrincipal } from "../providers/azure/principal.js";
import { parseUserPassword } from "../providers/docker/user-password.js";
import { parseGoogleServiceAccount } from "../providers/google/service-account.js";

export type CredentialWarning = { code: "credential-malformed" | "line-ignored"; message: string };

const what: Readonly<Record<RegistryType, string>> = {
  aws: "an AWS credentials file",
  azure: "an Azure principal",
  gar: "a Google service account key",
  generic: "a registry user and token",
};

/**
 * Says what a registry entry of `type` will not be able to use in `text`, so that anyone who writes the secret hears it
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

export type OtherCloudWarning = { code: "other-cloud"; message: string };

const clouds = { aws: "AWS", azure: "Azure", gar: "Google" } as const;

type Cloud = keyof typeof clouds;

// The prefixes of long-term and temporary keys: docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
// Blanks of one line only: from each of a thousand empty lines the others would be looked at.
const awsKeyForm = /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b|^[ \t]*aws_secret_access_key\s*[=:]/m;
const googleKey = /"type"\s*:\s*"service_account"/;

/**
 * Says that a value is a credential of one cloud while the entries that name it are of another: it would be sent to
 * where it means nothing. Never quotes the text.
 */
export function checkOtherCloud(types: readonly RegistryType[], text: string): OtherCloudWarning[] {
  const cloud = cloudOf(text);
  if (cloud === undefined || types.length === 0 || types.includes(cloud)) return [];
  const message = `The value looks like a credential of ${clouds[cloud]}, and the registry entries that name this secret are of another kind: ${types.join(", ")}.`;
  return [{ code: "other-cloud", message }];
}

function cloudOf(text: string): Cloud | undefined {
  if (awsKeyForm.test(text)) return "aws";
  if (googleKey.test(text)) return "gar";
  const isJson = text.trimStart().startsWith("{");
  return isJson && parseAzurePrincipal(text).ok ? "azure" : undefined;
}

/**
 * What reading a credential text gives. A mistake is a sentence for people that names lines and known keys,
 * never a word of the text itself: it may be the secret.
 */
export type FormatResult<T> =
  /** `remarks`: what of it is passed over. */
  { ok: true; value: T; remarks?: readonly string[] } | { ok: false; mistakes: readonly string[] };
