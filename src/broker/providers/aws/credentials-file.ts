import { awsPartitionForm } from "../../../core/aws-partitions.js";
import type { FormatResult } from "../../secret-formats/check-credential-text.js";
import { readCredential } from "../../secret-formats/damaged-value.js";

/** Long-lived keys of an IAM user, or temporary ones when there is a session token. */
export type AwsKeys = { accessKeyId: string; secretAccessKey: string; sessionToken?: string };

/** One role to assume. Several are assumed one after the other (role chaining). */
export type AwsRole = { roleArn: string; externalId?: string };

/** What one profile of a credentials file means: keys to start from, and roles to assume with them in this order. */
export type AwsIdentity = { keys: AwsKeys; roles: readonly AwsRole[] };

/** One section of the file, as data. */
export type AwsProfile = {
  line: number;
  keys?: AwsKeys;
  roleArn?: string;
  externalId?: string;
  sourceProfile?: string;
};

export type AwsProfiles = ReadonlyMap<string, AwsProfile>;

// More hops than anybody has; a bound for a file that was written to keep us busy.
const maxRoles = 5;

const valuePatterns: Readonly<Record<string, RegExp>> = {
  aws_access_key_id: /^[A-Z0-9]{16,128}$/,
  aws_secret_access_key: /^[\x21-\x7e]{16,256}$/,
  aws_session_token: /^[\x21-\x7e]{16,16384}$/,
  region: /^[a-z]{2,}(-[a-z0-9]+)+$/,
  role_arn: new RegExp(`^arn:${awsPartitionForm}:iam::[0-9]{12}:role/[\\w+=,.@/-]{1,512}$`),
  external_id: /^[\w+=,.@:/-]{2,1224}$/,
  source_profile: /^[\w.@%+:/-]{1,128}$/,
};

/**
 * Reads an AWS credentials file as data, by an allow-list: nothing in it can make us run a program, read a file or call
 * a host. Accepted is what botocore and the JavaScript SDK read alike; anything else is a mistake with its line.
 * Every profile is checked, also those that no entry names.
 */
export function parseAwsCredentials(text: string): FormatResult<AwsProfiles> {
  return readCredential("aws", text, parseProfiles);
}

function parseProfiles(text: string): FormatResult<AwsProfiles> {
  const { lines, mistakes, ignored } = readIniLines(text);
  const sections = new Map<string, { line: number; values: Map<string, string> }>();
  for (const item of lines) collectLine(item, sections, mistakes);
  if (sections.size === 0 && mistakes.length === 0) mistakes.push("It holds no profile: a line [default] is missing.");
  const profiles = new Map<string, AwsProfile>();
  for (const [name, section] of sections) {
    profiles.set(name, profileOf(section, mistakes));
  }
  const remarks = ignored.map(({ line, key }) => `Line ${line}: ${key} is ignored.`);
  return mistakes.length === 0
    ? { ok: true, value: profiles, remarks }
    : { ok: false, mistakes: mistakes.slice(0, maxMistakes) };
}

/**
 * Follows `source_profile` within the file, as the AWS programs do: a profile without `role_arn` has keys; one with
 * `role_arn` assumes it with what its source gives. A profile that names itself uses its own keys.
 */
export function resolveAwsProfile(profiles: AwsProfiles, name: string): FormatResult<AwsIdentity> {
  const roles: AwsRole[] = [];
  const visited = new Set<string>();
  let current = name;
  for (;;) {
    const profile = profiles.get(current);
    // The name comes from the entry or from a `source_profile` whose form was checked: it is not a secret.
    if (profile === undefined) return mistake(`It has no profile [${current}].`);
    const mayUseOwnKeys = profile.roleArn === undefined || visited.has(current);
    if (mayUseOwnKeys) {
      if (profile.keys !== undefined) return { ok: true, value: { keys: profile.keys, roles: roles.reverse() } };
      return mistake(`Profile [${current}] (line ${profile.line}) has no keys to start from.`);
    }
    if (profile.roleArn === undefined || profile.sourceProfile === undefined) {
      return mistake(`Profile [${current}] (line ${profile.line}) has role_arn but no source_profile.`);
    }
    visited.add(current);
    roles.push({
      roleArn: profile.roleArn,
      ...(profile.externalId === undefined ? {} : { externalId: profile.externalId }),
    });
    if (roles.length > maxRoles) return mistake(`Profile [${name}] assumes more than ${maxRoles} roles in a row.`);
    if (visited.has(profile.sourceProfile) && profile.sourceProfile !== current) {
      return mistake(`The source_profile lines from [${name}] on lead in a circle.`);
    }
    const source = profiles.get(profile.sourceProfile);
    if (source?.keys !== undefined && source.roleArn !== undefined && profile.sourceProfile !== current) {
      // botocore assumes the source's role first, the JavaScript SDK takes its keys: two different identities.
      return mistake(
        `Profile [${profile.sourceProfile}] (line ${source.line}) is a source with both keys and a role_arn.`,
      );
    }
    current = profile.sourceProfile;
  }
}

function collectLine(
  item: IniLine,
  sections: Map<string, { line: number; values: Map<string, string> }>,
  mistakes: string[],
): void {
  if (item.kind === "section") {
    if (sections.has(item.name)) mistakes.push(`Line ${item.line}: profile [${item.name}] appears twice.`);
    else sections.set(item.name, { line: item.line, values: new Map() });
    return;
  }
  const values = sections.get(item.section)?.values;
  if (values === undefined) return;
  const isKnown = valuePatterns[item.key]?.test(item.value) === true;
  if (!isKnown) mistakes.push(`Line ${item.line}: the value of ${item.key} does not have the form of one.`);
  if (values.has(item.key)) mistakes.push(`Line ${item.line}: ${item.key} appears twice in its profile.`);
  values.set(item.key, item.value);
}

function profileOf(section: { line: number; values: ReadonlyMap<string, string> }, mistakes: string[]): AwsProfile {
  const { line, values } = section;
  const accessKeyId = values.get("aws_access_key_id");
  const secretAccessKey = values.get("aws_secret_access_key");
  const sessionToken = values.get("aws_session_token");
  const roleArn = values.get("role_arn");
  const externalId = values.get("external_id");
  const sourceProfile = values.get("source_profile");
  const profile: AwsProfile = { line };
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    profile.keys = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
  } else if (accessKeyId !== undefined || secretAccessKey !== undefined || sessionToken !== undefined) {
    mistakes.push(`Line ${line}: this profile needs both aws_access_key_id and aws_secret_access_key.`);
  }
  if (roleArn !== undefined && sourceProfile === undefined) {
    // botocore refuses such a profile and the JavaScript SDK ignores the role: two different identities.
    mistakes.push(`Line ${line}: this profile has role_arn but no source_profile to assume it with.`);
  }
  if (roleArn === undefined && (sourceProfile !== undefined || externalId !== undefined)) {
    mistakes.push(`Line ${line}: this profile has source_profile or external_id but no role_arn.`);
  }
  if (roleArn === undefined && accessKeyId === undefined && secretAccessKey === undefined) {
    mistakes.push(`Line ${line}: this profile holds neither keys nor a role_arn.`);
  }
  if (roleArn !== undefined) profile.roleArn = roleArn;
  if (externalId !== undefined) profile.externalId = externalId;
  if (sourceProfile !== undefined) profile.sourceProfile = sourceProfile;
  return profile;
}

function mistake(sentence: string): { ok: false; mistakes: readonly string[] } {
  return { ok: false, mistakes: [sentence] };
}

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
// what precedes an equals sign in a damaged file can be half of a secret, base64 ends in one.
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
  if (section === undefined) return "this line is outside any profile. Start the file with [default].";
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
