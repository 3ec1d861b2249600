import type { RegistryType } from "../../factory-config/entry.js";
import { parseAwsCredentials } from "./aws-credentials.js";
import { parseAzurePrincipal } from "./azure-principal.js";
import type { FormatResult } from "./format-result.js";
import { parseGoogleServiceAccount } from "./google-service-account.js";
import { parseUserPassword } from "./user-password.js";

export type CredentialWarning = { code: "credential-malformed"; message: string };

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
  const result = parseCredentialText(type, text);
  if (result.ok) return [];
  return result.mistakes.map((sentence) => ({
    code: "credential-malformed",
    message: `A registry entry uses this secret as ${what[type]}. ${sentence}`,
  }));
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
