import type { FactoryRef } from "../core/caller.js";
import { Problem } from "../core/problem.js";
import type { FactoryFacts, Facts } from "./factory-facts.js";
import { selectRegistry } from "./select-registry.js";

/** Those of these registries that no entry of the present config serves. None while the config cannot be read. */
export async function unservedRegistries(
  facts: Facts,
  factory: FactoryRef,
  registries: readonly string[],
): Promise<string[]> {
  if (registries.length === 0) return [];
  try {
    const known = await facts.of(factory);
    const unserved = unservedBy(known, registries);
    // An entry of a moment ago, published on another replica, must not be missed.
    if (unserved.length === 0 || !(await facts.areOutdated(known))) return unserved;
    return unservedBy(await facts.of(factory), registries);
  } catch (error) {
    if (error instanceof Problem && error.code === "invalid-config") return [];
    throw error;
  }
}

function unservedBy({ entries }: FactoryFacts, registries: readonly string[]): string[] {
  return [...new Set(registries)].filter((registry) => {
    try {
      selectRegistry(entries, registry);
      return false;
    } catch (error) {
      return error instanceof Problem && error.code === "registry-unknown";
    }
  });
}
