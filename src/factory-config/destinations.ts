import type { RegistryEntry, RegistryType } from "./entry.js";

/** Any host of the type's own cloud: where an entry without a host sends its secret. */
export const anyHostOfCloud = "*";

/** Where a secret may be sent. `host` is normalised, or `*` for an entry without one, which only a cloud's type can be. */
export type Destination = { secretName: string; type: RegistryType; host: string };

/** The places that one entry sends its secret to. */
export function destinationsOf(entry: RegistryEntry): Destination[] {
  return hostsOf(entry).map((host) => ({ secretName: entry.secretName, type: entry.type, host }));
}

/** The places that the entries of a config send secrets to, each once, in a stable order. */
export function destinationsOfEntries(entries: readonly RegistryEntry[]): Destination[] {
  const distinct = new Map(entries.flatMap(destinationsOf).map((place) => [destinationKey(place), place]));
  return [...distinct].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place);
}

/**
 * Those of `wanted` that nobody approved. Only the very same secret, type and host counts: `*` does not approve a single
 * host, because an entry without a host and one with it are dialled by different rules.
 */
export function newDestinations(approved: readonly Destination[], wanted: readonly Destination[]): Destination[] {
  const known = new Set(approved.map(destinationKey));
  return wanted.filter((destination) => !known.has(destinationKey(destination)));
}

function hostsOf(entry: RegistryEntry): readonly string[] {
  if (entry.type === "gar") return entry.hosts.length > 0 ? entry.hosts : [anyHostOfCloud];
  return [entry.host ?? anyHostOfCloud];
}

/** One text for a destination, to compare by. None of its three parts has a space in it. */
export function destinationKey({ secretName, type, host }: { secretName: string; type: string; host: string }): string {
  return `${secretName} ${type} ${host}`;
}
