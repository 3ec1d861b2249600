import { nearestName } from "../core/nearest-name.js";
import { secretNamePattern } from "../http/contract.js";
import {
  checkEntry,
  type EntryFields,
  entryOf,
  type FieldRemark,
  keylessFieldsOf,
  principalFieldOf,
} from "./check-entry.js";
import { fieldsOfType } from "./contract.js";
import { keyOfField, type RegistryEntry, type RegistryType, registryTypes, secretKeyOf } from "./entry.js";

import type { Findings } from "./findings.js";
import { remarkOnEntryKeys, slipOf } from "./remarks.js";
import {
  kindOf,
  pairOf,
  resolved,
  type YamlMapping,
  type YamlNode,
  type YamlPair,
  type YamlScalar,
} from "./yaml-tree.js";

// What people write for a type that they know by another name.
const otherNames: Readonly<Record<string, RegistryType>> = {
  amazon: "aws",
  ecr: "aws",
  acr: "azure",
  microsoft: "azure",
  artifact_registry: "gar",
  gcp: "gar",
  gcr: "gar",
  google: "gar",
  docker: "generic",
  dockerhub: "generic",
  ghcr: "generic",
  github: "generic",
  gitlab: "generic",
  harbor: "generic",
  other: "generic",
  quay: "generic",
};

// Credentials of a known form that the rule for names lets through. They must not become a name, which everybody sees.
const credentialForms =
  /^(?:gh[opsur]_|github_pat_|glpat-|dckr_pat_|xox[abprs]-|sk_live_|eyJ[A-Za-z0-9_-]{20}|(?:AKIA|ASIA)[A-Z0-9]{16}$|fs[ocruj]_[A-Za-z0-9_-]{20})/;

/**
 * Reads one entry of `container_registries`. Everything wrong with it goes to `findings` at once, with its place;
 * `undefined` when there is anything. Keys it does not know are kept and ignored, those that resemble a known one with a
 * warning.
 */
export function parseEntry(item: YamlNode, offset: number, findings: Findings): RegistryEntry | undefined {
  const before = findings.invalid.length;
  const node = resolved(item);
  if (node.kind !== "mapping") {
    refuse(findings, offset, `An entry must be a mapping with a type; found ${kindOf(node)}.`);
    return undefined;
  }
  const type = readType(node, findings);
  remarkOnEntryKeys(node, type, findings);
  if (type === undefined) return undefined;
  const fields = readFields(node, type, findings);
  const hasSecret = pairOf(node, secretKeyOf[type]) !== undefined;
  // What is in a secret's place may be wrong, and that is said; then no one has to be told that a secret is missing.
  const secretName = hasSecret || !namesPrincipal(node, type) ? readSecretName(node, type, findings) : undefined;
  const checked = checkEntry(type, fields, hasSecret);
  for (const problem of checked.problems) {
    if (isAlreadyRefused(node, problem)) continue;
    const key = keyOfField[problem.field];
    if (pairOf(node, key) === undefined) refuseMissing(findings, node, key, problem.reason);
    else refuse(findings, offsetOf(node, problem), problem.reason);
  }
  for (const warning of checked.warnings) {
    findings.warnings.push({ offset: offsetOf(node, warning), reason: warning.reason });
  }
  if (findings.invalid.length > before || checked.registry === undefined) return undefined;
  return entryOf(checked.registry, secretName);
}

function namesPrincipal(node: YamlMapping, type: RegistryType): boolean {
  return keylessFieldsOf[type].some((field) => pairOf(node, keyOfField[field]) !== undefined);
}

function readType(node: YamlMapping, findings: Findings): RegistryType | undefined {
  const pair = pairOf(node, "type");
  const allowed = "It must be aws, azure, gar or generic.";
  if (pair === undefined) {
    refuseMissing(findings, node, "type", `The entry has no type. ${allowed}`);
    return undefined;
  }
  const text = readText(pair, findings);
  if (text === undefined) return undefined;
  const type = registryTypes.find((known) => known === text);
  if (type !== undefined) return type;
  const nearest = nearestName(text, [...registryTypes, ...Object.keys(otherNames)]);
  const meant = nearest === undefined ? undefined : (otherNames[nearest] ?? nearest);
  const found =
    meant === undefined ? "This type is not known." : `The type "${text}" is not known; did you mean ${meant}?`;
  refuse(findings, pair.value.start, `${found} ${allowed}`);
  return undefined;
}

function readSecretName(node: YamlMapping, type: RegistryType, findings: Findings): string | undefined {
  const key = secretKeyOf[type];
  const pair = pairOf(node, key);
  if (pair === undefined) {
    const field = principalFieldOf[type];
    const or = field === undefined ? "" : ` Or ${keyOfField[field]}, where none is needed: docs/keyless.md.`;
    const reason = `An entry of type ${type} needs ${key}: the name of the secret that opens the registry.${or}`;
    refuseMissing(findings, node, key, reason);
    return undefined;
  }
  const name = readText(pair, findings);
  if (name === undefined) return undefined;
  const refusal = refusalOfSecretName(name);
  if (refusal === undefined) return name;
  refuse(findings, pair.value.start, `${key} ${refusal}`);
  return undefined;
}

/** Why a text cannot be the name of a secret, as the rest of a sentence; never quotes it. */
export function refusalOfSecretName(name: string): string | undefined {
  const instead = "Store the credential with `fioctl secrets update NAME=...` and write its NAME here.";
  if (credentialForms.test(name)) return `holds what looks like a credential, not the name of a secret. ${instead}`;
  if (secretNamePattern.test(name)) return undefined;
  return `must be the name of a secret: 1 to 255 letters, digits, _ . and -, the first not . or -. ${instead}`;
}

function readFields(node: YamlMapping, type: RegistryType, findings: Findings): EntryFields {
  const fields: EntryFields = {};
  for (const field of fieldsOfType[type]) {
    const pair = pairOf(node, keyOfField[field]);
    if (pair === undefined) continue;
    if (field === "hosts") fields.hosts = readHosts(pair, findings);
    else if (field === "passThrough") fields.passThrough = readFlag(pair, findings);
    else fields[field] = readText(pair, findings);
  }
  return fields;
}

function readText(pair: YamlPair, findings: Findings): string | undefined {
  const value = resolved(pair.value);
  if (isFilledText(value)) return value.value;
  const isPlainWord = value.kind === "scalar" && value.value !== null && value.value !== "";
  const advice = isPlainWord ? " Put it in quotes." : "";
  refuse(findings, valueOffset(pair), `${pair.key} must be text; found ${kindOf(value)}.${advice}`);
  return undefined;
}

function readFlag(pair: YamlPair, findings: Findings): boolean | undefined {
  const value = resolved(pair.value);
  if (value.kind === "scalar" && typeof value.value === "boolean") return value.value;
  refuse(findings, valueOffset(pair), `${pair.key} must be true or false; found ${kindOf(value)}.`);
  return undefined;
}

function readHosts(pair: YamlPair, findings: Findings): string[] | undefined {
  const list = resolved(pair.value);
  if (list.kind !== "sequence") {
    refuse(findings, valueOffset(pair), `${pair.key} must be a list of hosts; found ${kindOf(list)}.`);
    return undefined;
  }
  return list.items.map(({ node, dash }) => {
    const host = resolved(node);
    if (isFilledText(host)) return host.value;
    const offset = node.end > node.start ? node.start : (dash ?? node.start);
    refuse(findings, offset, `A host must be text; found ${kindOf(host)}.`);
    // Keeps the place of the others; the entry is refused already.
    return "";
  });
}

/** The check sees a missing field where the document has one that could not be read: that was said already. */
function isAlreadyRefused(node: YamlMapping, { field, index }: FieldRemark): boolean {
  const pair = pairOf(node, keyOfField[field]);
  if (pair === undefined) return false;
  const value = resolved(pair.value);
  if (field !== "hosts") return !isFilledText(value);
  if (value.kind !== "sequence") return true;
  const item = index === undefined ? undefined : value.items[index];
  return item !== undefined && !isFilledText(resolved(item.node));
}

function offsetOf(node: YamlMapping, { field, index }: FieldRemark): number {
  const pair = pairOf(node, keyOfField[field]);
  if (pair === undefined) return node.start;
  if (index === undefined || pair.value.kind !== "sequence") return valueOffset(pair);
  return pair.value.items[index]?.node.start ?? valueOffset(pair);
}

/** Where a value stands; the key, for a value that is not there. */
function valueOffset(pair: YamlPair): number {
  return pair.value.end > pair.value.start ? pair.value.start : pair.start;
}

function isFilledText(node: YamlNode): node is YamlScalar & { value: string } {
  return node.kind === "scalar" && typeof node.value === "string" && node.value !== "";
}

/** A key that is missing is often there, with a slip in it. */
function refuseMissing(findings: Findings, node: YamlMapping, key: string, reason: string): void {
  const slip = slipOf(node, key);
  const remark = slip === undefined ? "" : ` The key "${slip.key}" is not known; did you mean ${key}?`;
  refuse(findings, slip?.start ?? node.start, `${reason}${remark}`);
}

function refuse(findings: Findings, offset: number, reason: string): void {
  findings.invalid.push({ offset, reason });
}
