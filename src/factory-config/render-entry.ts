import { stringify } from "yaml";
import { ecrHost } from "../core/cloud-hosts.js";
import { keyOfField, type RegistryEntry, secretKeyOf } from "./entry.js";

import type { JsonValue } from "./tree-to-json.js";

/** One key of an entry in the document. `implied`: another field tells it, so that it need not be written. */
export type EntryKey = { key: string; value: JsonValue; implied?: true };

/** How an entry is written between braces: as JSON where the whole document is, else as YAML, with or without padding. */
export type FlowStyle = { json: boolean; padded: boolean };

/** The keys that an entry is written with, in the order of the documentation. */
export function keysOfEntry(entry: RegistryEntry): EntryKey[] {
  return [{ key: "type", value: entry.type }, ...keysOfType(entry), ...optional(keyOfField.relay, entry.relay)];
}

function keysOfType(entry: RegistryEntry): EntryKey[] {
  const secret = optional(secretKeyOf[entry.type], entry.secretName);
  switch (entry.type) {
    case "aws":
      return [
        regionKey(entry.region, entry.host),
        ...optional(keyOfField.url, entry.host),
        ...secret,
        ...optional(keyOfField.awsRoleArn, entry.roleArn),
        ...optional(keyOfField.profile, entry.profile),
      ];
    case "azure":
      return [
        ...optional(keyOfField.url, entry.host),
        ...secret,
        ...optional(keyOfField.azureClientId, entry.clientId),
        ...optional(keyOfField.azureTenantId, entry.tenantId),
      ];
    case "gar":
      return [
        ...hostsKey(entry.hosts),
        ...secret,
        ...optional(keyOfField.garWorkloadIdentityProvider, entry.workloadIdentityProvider),
        ...optional(keyOfField.garServiceAccount, entry.serviceAccount),
      ];
    case "generic":
      return [
        { key: keyOfField.url, value: entry.host },
        ...secret,
        ...(entry.passThrough ? [{ key: keyOfField.passThrough, value: true }] : []),
      ];
    default:
      return entry satisfies never;
  }
}

function regionKey(region: string, host: string | undefined): EntryKey {
  const key = { key: keyOfField.region, value: region };
  // A new entry has it all the same: ci-scripts reads the region of every aws entry.
  return host !== undefined && ecrHost(host)?.region === region ? { ...key, implied: true } : key;
}

function hostsKey(hosts: readonly string[]): EntryKey[] {
  const [first, ...more] = hosts;
  if (first === undefined) return [];
  return more.length === 0 ? [{ key: keyOfField.url, value: first }] : [{ key: keyOfField.hosts, value: [...hosts] }];
}

function optional(key: string, value: string | undefined): EntryKey[] {
  return value === undefined ? [] : [{ key, value }];
}

/** The lines `key: value` of a block mapping, without indent. */
export function renderLines(keys: readonly EntryKey[]): string[] {
  return keys.map(({ key, value }) => `${renderValue(key, false)}: ${renderValue(value, false)}`);
}

/** The entry between braces, on one line. */
export function renderFlow(keys: readonly EntryKey[], style: FlowStyle): string {
  const pairs = keys.map((key) => renderFlowPair(key, style.json)).join(", ");
  return style.padded && !style.json ? `{ ${pairs} }` : `{${pairs}}`;
}

export function renderFlowPair({ key, value }: EntryKey, json: boolean): string {
  return `${renderValue(key, json)}: ${renderValue(value, json)}`;
}

/** A value on one line, fit for a block and for a flow: quoted where YAML 1.2 or 1.1 would read something else. */
export function renderValue(value: JsonValue, json: boolean): string {
  if (json || typeof value !== "string") {
    if (!json && Array.isArray(value)) return `[${value.map((item) => renderValue(item, false)).join(", ")}]`;
    return JSON.stringify(value);
  }
  // Plain text outside these characters is rare in an entry and may mean something between braces: JSON is YAML too.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*$/.test(value)) return JSON.stringify(value);
  return stringify(value, { compat: "yaml-1.1", lineWidth: 0 }).trimEnd();
}
