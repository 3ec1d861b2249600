import { Problem } from "../core/problem.js";

/**
 * The public URL as the base of issuers, which clouds fetch over https only. Only what the operator said will do: where
 * the service listens is no name that a cloud can reach.
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
