import { Problem } from "../../core/problem.js";
import type { FactoryFacts } from "../factory-facts.js";
import { hostsOf, type Selected, selectRegistry } from "../select-registry.js";

/** One run makes up to a dozen calls for each of them. */
const maxPlaces = 20;

/**
 * Where a secret is to be tried: every host of every entry that names it, or the one that is asked for.
 * @throws Problem `registry-unknown`, `registry-required`, `limit-reached` when they are too many for one run
 */
export function placesOf(facts: FactoryFacts, secretName: string, registry: string | undefined): Selected[] {
  const naming = facts.entries.filter(({ entry }) => entry.secretName === secretName);
  const places =
    registry === undefined
      ? naming.flatMap((known): Selected[] => {
          const hosts = hostsOf(known.entry);
          return hosts.length > 0 ? hosts.map((host) => ({ ...known, host })) : [{ ...known, host: undefined }];
        })
      : selectRegistry(naming, registry);
  if (places.length <= maxPlaces) return places;
  throw new Problem(
    "limit-reached",
    `${places.length} registries name this secret, and ${maxPlaces} are tried at once. Name one of them in "registry".`,
  );
}
