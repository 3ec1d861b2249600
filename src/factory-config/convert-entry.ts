import type { Invalid } from "../core/problem.js";
import { checkEntry, entryOf, keylessFieldsOf, principalFieldOf } from "./check-entry.js";
import type { RegistryEntryInput, RegistryEntryView } from "./contract.js";
import type { GarEntry, RegistryEntry } from "./entry.js";
import { refusalOfSecretName } from "./parse-entry.js";

export type EntryFromInput = { ok: true; entry: RegistryEntry } | { ok: false; invalid: Invalid[] };

/**
 * Turns the body of a `registries` route, already of the right shape, into an entry: the host normalised, its region and
 * id known. All that does not fit together is reported at once, each at the JSON pointer of its field.
 */
export function entryFromInput(input: RegistryEntryInput): EntryFromInput {
  const { type, secretName, ...fields } = input;
  const { registry, problems } = checkEntry(type, fields, secretName !== undefined);
  const invalid = problems.map(({ field, index, reason }) => ({
    at: index === undefined ? `/${field}` : `/${field}/${index}`,
    reason,
  }));
  const refusal = refusalOfSecret(input);
  if (refusal !== undefined) invalid.push({ at: "/secretName", reason: refusal });
  const entry = registry && entryOf(registry, secretName);
  return entry === undefined || invalid.length > 0 ? { ok: false, invalid } : { ok: true, entry };
}

function refusalOfSecret(input: RegistryEntryInput): string | undefined {
  const { type, secretName } = input;
  if (secretName !== undefined) {
    const refusal = refusalOfSecretName(secretName);
    return refusal && `The field ${refusal}`;
  }
  if (keylessFieldsOf[type].some((field) => input[field] !== undefined)) return undefined;
  const principal = principalFieldOf[type];
  const or = principal === undefined ? "" : `, or ${principal} where none is needed`;
  return `An entry of type ${type} needs the name of the secret that opens the registry${or}.`;
}

/** Shows an entry as the `registries` routes do. What it gives, without `id`, is an input that makes the same entry. */
export function viewOfEntry(entry: RegistryEntry): RegistryEntryView {
  return { ...viewOfType(entry), ...(entry.relay && { relay: entry.relay }) };
}

function viewOfType(entry: RegistryEntry): RegistryEntryView {
  const { id, type } = entry;
  const opener = entry.secretName === undefined ? {} : { secretName: entry.secretName };
  switch (entry.type) {
    case "aws": {
      const { host, region, profile, roleArn } = entry;
      const role = roleArn === undefined ? {} : { awsRoleArn: roleArn };
      return { id, type, ...opener, ...url(host), region, ...(profile === undefined ? {} : { profile }), ...role };
    }
    case "azure": {
      const { host, tenantId, clientId } = entry;
      const tenant = tenantId === undefined ? {} : { azureTenantId: tenantId };
      return {
        id,
        type,
        ...opener,
        ...url(host),
        ...tenant,
        ...(clientId === undefined ? {} : { azureClientId: clientId }),
      };
    }
    case "gar":
      return { id, type, ...opener, ...urlOrHosts(entry.hosts), ...federated(entry) };
    case "generic":
      return { id, type, ...opener, url: entry.host, ...(entry.passThrough ? { passThrough: true } : {}) };
    default:
      return entry satisfies never;
  }
}

function federated({ workloadIdentityProvider, serviceAccount }: GarEntry) {
  if (workloadIdentityProvider === undefined) return {};
  const account = serviceAccount === undefined ? {} : { garServiceAccount: serviceAccount };
  return { garWorkloadIdentityProvider: workloadIdentityProvider, ...account };
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
