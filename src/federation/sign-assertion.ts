import { randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { azureClouds } from "../core/azure-clouds.js";
import { acrHost } from "../core/cloud-hosts.js";
import { federationClaim, federationUse } from "../core/federation-claim.js";
import { Problem } from "../core/problem.js";
import type { SigningKeys } from "../identity/oauth/keys/signing-keys.js";

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

/** The issuer of a factory. `base` is the public URL, without a slash at its end. */
export function issuerOf(base: string, factoryId: string): string {
  return `${base}/federation/${factoryId}`;
}

/**
 * The `sub` by which a cloud knows one entry of one factory: both of its parts never change for as long as it exists, and
 * neither has a `*` or `?`, which patterns of trust policies give a meaning. 51 characters and the entry's id, of which
 * `maxKeylessIdLength` makes 127 at most.
 */
export function subjectOf(factoryId: string, entryId: string): string {
  return `factory:${factoryId}:entry:${entryId}`;
}

/**
 * The public URL as the base of issuers, which clouds fetch over https only. Only what the operator said will do: where
 * the service listens is not a name that a cloud can reach.
 * @param publicUrl - `FACTORY_SECRETS_PUBLIC_URL`, without a slash at its end
 * @throws Problem `federation-unavailable`
 */
export function issuerBase(publicUrl: string | undefined): string {
  if (publicUrl?.startsWith("https://")) return publicUrl;
  const found =
    publicUrl === undefined ? "FACTORY_SECRETS_PUBLIC_URL is not set" : "FACTORY_SECRETS_PUBLIC_URL is not https";
  throw new Problem(
    "federation-unavailable",
    `Entries without a secret need a public name: clouds fetch the keys of this service from it, over https, and ${found}. Ask the operator to set it (docs/keyless.md), or name a secret in the entry.`,
  );
}

/** The client id that AWS programs register for AWS STS. */
export const awsAudience = "sts.amazonaws.com";

/** What Microsoft Entra expects, by the cloud of the registry; of the public cloud when the host is not known yet. */
export function azureAudience(registryHost: string | undefined): string {
  const cloud = registryHost === undefined ? "public" : acrHost(registryHost)?.cloud;
  return azureClouds[cloud ?? "public"].federationAudience;
}

/**
 * What a provider of a workload identity pool expects unless it names audiences of its own: its full resource name.
 * Source: Google Cloud, IAM documentation, "Workload Identity Federation with other identity providers".
 */
export function garAudience(workloadIdentityProvider: string): string {
  return `https://iam.googleapis.com/${workloadIdentityProvider}`;
}
