import type { AwsWire } from "../../audit/events.js";
import type { RequestedBy } from "../../audit/requested-by.js";
import { type BrokerDeps, issueTokens } from "../../broker/issue-token.js";
import type { Products } from "../../broker/products.js";
import type { MintedAwsCredentials } from "../../broker/provider.js";
import type { CachedToken } from "../../broker/token-cache.js";
import type { Caller, FactoryRef } from "../../core/caller.js";
import { Problem } from "../../core/problem.js";
import { byCurrentFacts, onlyAwsEntry } from "../keys/choose-entry.js";

export type CredentialsDeps = BrokerDeps & Pick<Products, "awsCredentials">;

/** AWS's programs ask for new ones when their last fifteen minutes begin (botocore), so no fewer are handed out. */
const minTtlSeconds = 15 * 60;

/**
 * Temporary AWS credentials for one registry entry: what its secret may do, narrowed by a session policy to pulling what
 * this caller may pull.
 * @param input.registry - host or id of the entry; may be absent when only one of type aws is in reach
 * @throws Problem `scope-not-enforceable` for a stored principal that AWS does not narrow, and those of the broker
 */
export async function issueAwsCredentials(
  deps: CredentialsDeps,
  input: {
    factory: FactoryRef;
    caller: Caller;
    registry: string | undefined;
    requested: RequestedBy;
    via: AwsWire;
  },
): Promise<CachedToken<MintedAwsCredentials>> {
  const { factory, caller, registry, requested, via } = input;
  deps.tokenRequests.count(caller);
  const entry = await byCurrentFacts(deps.facts, factory, (facts) => onlyAwsEntry(facts, caller, registry));
  const asked = [{ registry: registry ?? entry.id }];
  const options = { allowBroader: false, allowPartial: false, minTtlSeconds };
  const { tokens } = await issueTokens(deps, deps.awsCredentials, {
    factory,
    caller,
    asked,
    requested,
    via,
    ...options,
  });
  const [issued] = tokens;
  if (!issued) throw new Problem("registry-unknown", "There is no registry entry of type aws to pull from.");
  return issued;
}
