import { awsPartitionForm } from "../../core/aws-partitions.js";
import { type IniLine, maxMistakes, readIniLines } from "./aws-ini-lines.js";
import { readCredential } from "./damaged-value.js";
import type { FormatResult } from "./format-result.js";

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
    // The name comes from the entry or from a `source_profile` whose form was checked: it is no secret.
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
