import { type RegistryEntry, registryTypes } from "./entry.js";

/** Any host of the type's own cloud: where an entry without a host sends its secret. */
export const anyHostOfCloud = "*";

/**
 * How a secret leaves for a host. Passing the stored `user:token` on to the jobs themselves is another destination than
 * presenting it to the registry: anyone who may write the config alone cannot turn one into the other.
 */
export const destinationTypes = [...registryTypes, "generic-pass-through"] as const;
export type DestinationType = (typeof destinationTypes)[number];

/** Where a secret may be sent. `host` is normalised, or `*` for an entry without one, which only a cloud's type can be. */
export type Destination = { secretName: string; type: DestinationType; host: string };

/**
 * The places that one entry sends its secret to; none for an entry without a secret: what is signed in the place of one
 * is worth something only where its cloud trusts this very factory and entry. Its region, profile and `azure_tenant_id` are no part of them: they
 * choose among endpoints of the same cloud, which keeps what it is sent to itself (a tenant is a path at Microsoft's own
 * login host, and its owner never sees a client secret), and what comes back goes to the approved host alone.
 */
export function destinationsOf(entry: RegistryEntry): Destination[] {
  const { secretName } = entry;
  if (secretName === undefined) return [];
  return hostsOf(entry).flatMap((host) => typesOf(entry).map((type) => ({ secretName, type, host })));
}

/** The places that the entries of a config send secrets to, each once, in a stable order. */
export function destinationsOfEntries(entries: readonly RegistryEntry[]): Destination[] {
  const distinct = new Map(entries.flatMap(destinationsOf).map((place) => [destinationKey(place), place]));
  return [...distinct].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place);
}

/**
 * Those of `wanted` that no one approved. Only the very same secret, type and host counts: `*` does not approve a single
 * host, because an entry without a host and one with it are dialled by different rules.
 */
export function newDestinations(approved: readonly Destination[], wanted: readonly Destination[]): Destination[] {
  const known = new Set(approved.map(destinationKey));
  return wanted.filter((destination) => !known.has(destinationKey(destination)));
}

// With pass-through the ordinary way stays approved too, so that turning it off takes nothing but config:write.
function typesOf(entry: RegistryEntry): readonly DestinationType[] {
  return entry.type === "generic" && entry.passThrough ? [entry.type, "generic-pass-through"] : [entry.type];
}

function hostsOf(entry: RegistryEntry): readonly string[] {
  if (entry.type === "gar") return entry.hosts.length > 0 ? entry.hosts : [anyHostOfCloud];
  return [entry.host ?? anyHostOfCloud];
}

/** One text for a destination, to compare by. None of its three parts has a space in it. */
export function destinationKey({ secretName, type, host }: { secretName: string; type: string; host: string }): string {
  return `${secretName} ${type} ${host}`;
}
