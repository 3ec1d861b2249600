import { randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { federationClaim, federationUse } from "../core/federation-claim.js";
import type { SigningKeys } from "../identity/oauth/keys/signing-keys.js";
import { issuerBase } from "./issuer-base.js";
import { issuerOf, subjectOf } from "./subject.js";

/** How long an assertion lives. It is exchanged at once. */
export const assertionSeconds = 300;

/** A cloud whose clock is behind ours must not take it for one of the future. */
const backdatedSeconds = 30;

export type AssertionDeps = {
  federationKeys: Pick<SigningKeys, "forSigning">;
  /** `FACTORY_SECRETS_PUBLIC_URL`. */
  federationUrl: string | undefined;
  now: () => Date;
};

/** Whose word is asked for, and by which cloud. */
export type Asserted = { factoryId: string; entryId: string; audience: string };

/**
 * Signs what a cloud takes in the place of a secret: a JWT (RS256) that says which factory and entry asks, for one
 * audience and five minutes, with an id of its own.
 * @throws Problem `federation-unavailable` when no cloud could fetch the key
 */
export async function signAssertion(deps: AssertionDeps, asserted: Asserted): Promise<string> {
  const { factoryId, entryId, audience } = asserted;
  const iss = issuerOf(issuerBase(deps.federationUrl), factoryId);
  const iat = Math.floor(deps.now().getTime() / 1000) - backdatedSeconds;
  const claims = {
    iss,
    sub: subjectOf(factoryId, entryId),
    aud: audience,
    iat,
    nbf: iat,
    exp: iat + assertionSeconds,
    jti: randomUUID(),
    [federationClaim]: federationUse,
  };
  const { id, key } = await deps.federationKeys.forSigning();
  return jwt.sign(claims, key, { algorithm: "RS256", header: { alg: "RS256", typ: "JWT", kid: id } });
}
