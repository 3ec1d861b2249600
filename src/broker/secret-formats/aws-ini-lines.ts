/** A line that means something: the head of a section, or an allowed key and its value. */
export type IniLine =
  | { kind: "section"; line: number; name: string }
  | { kind: "value"; line: number; section: string; key: string; value: string };

/** A line that is passed over: what other tools write beside the keys. */
export type IgnoredLine = { kind: "ignored"; line: number; key: string };

const allowedKeys: ReadonlySet<string> = new Set([
  "aws_access_key_id",
  "aws_secret_access_key",
  "aws_session_token",
  "region",
  "role_arn",
  "external_id",
  "source_profile",
]);

// Keys that AWS programs know, and what they would do with them. Only a name of this table is ever repeated to a person:
// what stands before an equals sign in a damaged file can be half of a secret, base64 ends in one.
const refusedKeys: ReadonlyMap<string, string> = new Map([
  ["credential_process", "it runs a program"],
  ["credential_source", "it uses the identity of the machine"],
  ["web_identity_token_file", "it reads a file of the machine"],
  ["endpoint_url", "it sends the calls to another host"],
  ["ca_bundle", "it reads a file of the machine"],
  ["login_session", "it needs a person at a browser"],
  ["mfa_serial", "it needs a person with a token"],
  ["services", "it sends the calls to another host"],
  ["role_session_name", "the session is named by the service"],
  ["duration_seconds", "the service asks for the longest session allowed"],
]);

/** Enough to mend a file in one go. A value of 64 KiB can have thousands of lines that are wrong. */
export const maxMistakes = 20;

// What other tools note for themselves: saml2aws, aws-adfs, aws-mfa, okta-aws-cli, leapp, the toolkits of AWS, and boto's
// former name of the session token. They change nothing of what the keys are.
const ignoredKeys: ReadonlySet<string> = new Set([
  "aws_security_token",
  "x_security_token_expires",
  "x_principal_arn",
  "x_expires",
  "aws_expiration",
  "aws_session_expiration",
  "aws_session_token_expiration",
  "aws_credential_expiration",
  "aws_credentials_expiration",
  "expiration",
  "expires",
  "expires_at",
  "expires_in",
  "x_issuer",
  "aws_account_id",
  "manager",
  "assumed_role",
  "assumed_role_arn",
  "toolkit_artifact_guid",
  "last_updated",
  // Settings of the AWS programs that decide nothing about whose keys they are.
  "output",
  "cli_pager",
  "cli_auto_prompt",
  "cli_timestamp_format",
  "retry_mode",
  "max_attempts",
  "sts_regional_endpoints",
  "aws_default_region",
]);

const inlineComment = /\s[#;]/;

/**
 * Splits an AWS credentials file into its lines, and accepts only what botocore (Python's configparser) and the
 * JavaScript SDK (`@smithy/core` parseIni) read alike. They differ in inline comments, `:` as separator, indented lines,
 * empty values, the case of keys, quotes and lone carriage returns; each is a mistake with its line.
 */
export function readIniLines(text: string): { lines: IniLine[]; ignored: IgnoredLine[]; mistakes: string[] } {
  const lines: IniLine[] = [];
  const ignored: IgnoredLine[] = [];
  const mistakes: string[] = [];
  let section: string | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const read = readLine(raw, index + 1, section);
    if (read === undefined) continue;
    if (typeof read === "string") {
      mistakes.push(`Line ${index + 1}: ${read}`);
      if (mistakes.length === maxMistakes) break;
      // A section whose head cannot be read still ends the one before it.
      if (raw.startsWith("[")) section = "";
      continue;
    }
    if (read.kind === "ignored") {
      ignored.push(read);
      continue;
    }
    if (read.kind === "section") section = read.name;
    lines.push(read);
  }
  return { lines, ignored, mistakes };
}

function readLine(raw: string, line: number, section: string | undefined): IniLine | IgnoredLine | string | undefined {
  if (/^[ \t]*([#;].*)?$/.test(raw) && !raw.includes("\r")) return undefined;
  if (!/^[\x20-\x7e\t]*$/.test(raw)) return "it holds a character that is not printable ASCII.";
  if (/^[ \t]/.test(raw)) return "it is indented, which continues the line before; remove the spaces.";
  if (raw.startsWith("[")) return readSectionHead(raw, line);
  if (section === undefined) return "it stands before the first profile; put a line [default] above it.";
  const equals = raw.indexOf("=");
  if (equals === -1) return "it has no equals sign.";
  const key = raw.slice(0, equals).trim();
  const lower = key.toLowerCase();
  if (ignoredKeys.has(lower)) return { kind: "ignored", line, key: lower };
  const refusal = refusalOfKey(key);
  if (refusal !== undefined) return refusal;
  const value = raw.slice(equals + 1).trim();
  if (value === "") return `${key} has no value.`;
  if (inlineComment.test(raw))
    return `a comment after a value is read differently by AWS programs; put it on its own line.`;
  if (/^["']|["']$/.test(value)) return `the quotes around the value of ${key} would be part of it; remove them.`;
  return { kind: "value", line, section, key, value };
}

function readSectionHead(raw: string, line: number): IniLine | string {
  const name = /^\[([\w.@%+:/-]{1,128})\][ \t]*$/.exec(raw)?.[1];
  if (name !== undefined) return { kind: "section", line, name };
  if (/^\[\s*profile\s/.test(raw)) return 'write [name] instead of [profile name]: "profile" belongs in ~/.aws/config.';
  return "it is not the head of a profile, such as [default], alone on its line and without spaces.";
}

function refusalOfKey(key: string): string | undefined {
  if (allowedKeys.has(key)) return undefined;
  const lower = key.toLowerCase();
  if (allowedKeys.has(lower)) return `${lower} must be written in lower case.`;
  const why =
    refusedKeys.get(lower) ?? (/^sso_[a-z_]{1,30}$/.test(lower) ? "it needs a person at a browser" : undefined);
  if (why !== undefined) return `${lower} is not allowed: ${why}.`;
  const [beforeColon = ""] = key.split(":", 1);
  const wrote = beforeColon.trimEnd().toLowerCase();
  if (allowedKeys.has(wrote)) return `${wrote} is followed by a colon; use an equals sign.`;
  return `its key is not one of ${[...allowedKeys].join(", ")}.`;
}
