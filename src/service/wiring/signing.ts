import { apiAccess, federation, relay } from "../../identity/oauth/keys/key-use.js";
import { SigningKeys, type SigningKeysDeps } from "../../identity/oauth/keys/signing-keys.js";
import type { Settings } from "../../settings/settings.js";

/** The keys of each use, and the name under which clouds fetch those that are for them. */
export function createSigning(deps: SigningKeysDeps, { publicUrl }: Pick<Settings, "publicUrl">) {
  const signingKeys = new SigningKeys(deps, apiAccess);
  const federationKeys = new SigningKeys(deps, federation);
  const relayKeys = new SigningKeys(deps, relay);
  return {
    signingKeys,
    federationKeys,
    relayKeys,
    federationUrl: publicUrl,
    rotateIfDue: async (): Promise<void> => {
      for (const keys of [signingKeys, federationKeys, relayKeys]) await keys.rotateIfDue();
    },
  };
}
