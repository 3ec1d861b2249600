import type { Invalid } from "../http/problem.js";
import { checkEntry } from "./check-entry.js";
import type { RegistryEntry } from "./entry.js";
import type { RegistryEntryInput, RegistryEntryView } from "./entry-contract.js";
import { refusalOfSecretName } from "./parse-entry.js";

export type EntryFromInput = { ok: true; entry: RegistryEntry } | { ok: false; invalid: Invalid[] };

/**
 * Turns the body of a `registries` route, already of the right shape, into an entry: the host normalised, its region and
 * id known. All that does not fit together is reported at once, each at the JSON pointer of its field.
 */
export function entryFromInput(input: RegistryEntryInput): EntryFromInput {
  const { type, secretName, ...fields } = input;
  const { registry, problems } = checkEntry(type, fields);
  const invalid = problems.map(({ field, index, reason }) => ({
    at: index === undefined ? `/${field}` : `/${field}/${index}`,
    reason,
  }));
  const refusal = refusalOfSecretName(secretName);
  if (refusal !== undefined) invalid.push({ at: "/secretName", reason: `The field ${refusal}` });
  if (registry === undefined || invalid.length > 0) return { ok: false, invalid };
  return { ok: true, entry: { ...registry, secretName } };
}

/** Shows an entry as the `registries` routes do. What it gives, without `id`, is an input that makes the same entry. */
export function viewOfEntry(entry: RegistryEntry): RegistryEntryView {
  const { id, type, secretName } = entry;
  switch (entry.type) {
    case "aws": {
      const { host, region, profile } = entry;
      return { id, type, secretName, ...url(host), region, ...(profile === undefined ? {} : { profile }) };
    }
    case "azure": {
      const { host, tenantId } = entry;
      return { id, type, secretName, ...url(host), ...(tenantId === undefined ? {} : { azureTenantId: tenantId }) };
    }
    case "gar":
      return { id, type, secretName, ...urlOrHosts(entry.hosts) };
    case "generic":
      return { id, type, secretName, url: entry.host, ...(entry.passThrough ? { passThrough: true } : {}) };
    default:
      return entry satisfies never;
  }
}

function url(host: string | undefined): { url?: string } {
  return host === undefined ? {} : { url: host };
}

/** One host is shown as the `url`, as with every other type. */
function urlOrHosts(hosts: readonly string[]): { url?: string; hosts?: string[] } {
  const [first, ...more] = hosts;
  if (first === undefined) return {};
  return more.length === 0 ? { url: first } : { hosts: [...hosts] };
}
