import { Problem } from "../core/problem.js";
import type { Demand } from "./decide-demands.js";
import type { FactoryFacts } from "./factory-facts.js";
import type { SecretRef } from "./issued-event.js";

/**
 * The secret that opens the registry of a demand; `undefined` for an entry that needs none.
 * @throws Problem `secret-missing`, `destination-not-approved`
 */
export function secretFor(facts: FactoryFacts, { entry, isApproved }: Demand): SecretRef | undefined {
  const { id, secretName } = entry;
  if (secretName === undefined) return undefined;
  const secret = facts.secrets.get(secretName);
  if (!secret) {
    const detail = `The entry ${id} names the secret "${secretName}", which does not exist. Create it: fioctl secrets update ${secretName}=...`;
    throw new Problem("secret-missing", detail);
  }
  if (isApproved) return secret;
  throw new Problem(
    "destination-not-approved",
    `Nobody with secrets:write has approved sending "${secretName}" to ${id}. Let one publish the config.`,
  );
}

/**
 * Names all that a token depends on: nothing else than an equal request can meet it. What a keyless entry depends on,
 * its principal and its id, is in the hash of the entry.
 */
export function cacheKey(factoryId: string, secret: SecretRef | undefined, demand: Demand): string {
  const scope = demand.repositories ? [demand.allowBroader, ...demand.repositories] : [];
  return [factoryId, demand.hash, secret?.id ?? "", secret?.version ?? "", demand.host ?? "", ...scope].join(" ");
}
