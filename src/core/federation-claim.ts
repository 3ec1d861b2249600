/**
 * A claim that every assertion for a cloud has, and nothing that opens this API may have. The header's `typ` cannot tell
 * them apart, because clouds expect plain `JWT` there, as we do of the ID tokens of others.
 */
export const federationClaim = "factory_secrets_use";

/** What the claim says. */
export const federationUse = "cloud-federation";
