import type { RegistryType } from "../../factory-config/entry.js";
import { parseAzurePrincipal } from "./azure-principal.js";

export type OtherCloudWarning = { code: "other-cloud"; message: string };

const clouds = { aws: "AWS", azure: "Azure", gar: "Google" } as const;

type Cloud = keyof typeof clouds;

// The prefixes of long-term and temporary keys: docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
// Blanks of one line only: from each of a thousand empty lines the others would be looked at.
const awsKey = /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b|^[ \t]*aws_secret_access_key\s*[=:]/m;
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
  if (awsKey.test(text)) return "aws";
  if (googleKey.test(text)) return "gar";
  const isJson = text.trimStart().startsWith("{");
  return isJson && parseAzurePrincipal(text).ok ? "azure" : undefined;
}
