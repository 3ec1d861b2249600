import { z } from "zod";
import type { WebIdentity } from "../web-identity.js";

const Values = z.record(z.string(), z.string());

/** The part of a trust policy for web identities that the stand-in enforces; anything else is refused. */
const TrustPolicy = z.strictObject({
  Version: z.literal("2012-10-17"),
  Statement: z
    .array(
      z.strictObject({
        Effect: z.literal("Allow"),
        Principal: z.strictObject({ Federated: z.string() }),
        Action: z.literal("sts:AssumeRoleWithWebIdentity"),
        Condition: z.strictObject({ StringEquals: Values }),
      }),
    )
    .min(1),
});

/**
 * Whether a role's trust policy lets a web identity in: the provider is the principal, and every condition holds, whose
 * keys are the provider's URL without its scheme and the claim.
 * Source: AWS IAM User Guide, "Available keys for AWS OIDC federation".
 */
export function trustsWebIdentity(trustPolicy: string, providerArn: string, identity: WebIdentity): boolean {
  const { Statement } = TrustPolicy.parse(JSON.parse(trustPolicy));
  const provider = identity.issuer.replace(/^https:\/\//, "");
  const claims: Readonly<Record<string, string>> = {
    [`${provider}:aud`]: identity.audience,
    [`${provider}:sub`]: identity.subject,
  };
  return Statement.some(
    ({ Principal, Condition }) =>
      Principal.Federated === providerArn &&
      Object.entries(Condition.StringEquals).every(([key, value]) => claims[key] === value),
  );
}
