import { createRequire } from "node:module";

type Library = typeof import("@peculiar/x509");

const load = createRequire(import.meta.url);
let loaded: Library | undefined;

/**
 * The library that reads certificates and revocation lists. Loading it is a third of the processor time of a start and
 * 16 MB, which a service that no device comes to can do without: it is loaded by the first call.
 */
export function x509(): Library {
  if (loaded !== undefined) return loaded;
  const library: Library = load("@peculiar/x509");
  loaded = library;
  return library;
}
