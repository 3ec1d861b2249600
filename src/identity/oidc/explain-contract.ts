import { z } from "zod";
import { GrantView } from "../../core/grant.js";
import { maxIdTokenLength } from "./contract.js";

const isObject = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

const TokenClaims = z
  .unknown()
  .refine(isObject, "must be an object: the payload of a token")
  .meta({ id: "TokenClaims", description: "The payload of a token: an object with a member for each claim." });

export const ExplainRequest = z
  .strictObject({
    idToken: z
      .string()
      .min(1)
      .max(maxIdTokenLength)
      .optional()
      .meta({ description: "The token that was refused. It is not used up, not kept and not shown." }),
    claims: TokenClaims.optional(),
  })
  .refine(
    ({ idToken, claims }) => (idToken === undefined) !== (claims === undefined),
    "must have either idToken or claims",
  )
  .meta({ id: "ExplainRequest" });

const TokenFailure = z
  .enum([
    "malformed",
    "type",
    "algorithm",
    "issuer",
    "audience",
    "expired",
    "not-yet-valid",
    "too-long-lived",
    "issuer-unreachable",
    "key-unknown",
    "signature",
  ])
  .meta({ id: "IdTokenFailure", description: "What is wrong with an ID token, for one rule." });

const IgnoredKey = z
  .object({
    at: z.string().meta({ description: "JSON pointer into the key set.", example: "/keys/0" }),
    kid: z.string().optional(),
    reason: z.string(),
  })
  .meta({ id: "IgnoredKey" });

const ExplainedToken = z
  .object({
    holds: z.boolean(),
    failed: TokenFailure.optional(),
    message: z.string(),
    ignoredKeys: z.array(IgnoredKey).optional().meta({
      description: "Keys of the issuer's set that are not understood, and are left out (RFC 7517, section 5).",
    }),
  })
  .meta({
    id: "ExplainedToken",
    description:
      "Whether the token itself is to be believed, by what the rule says. Absent when only claims were given.",
  });

export const ExplainedCondition = z
  .object({
    claim: z.string(),
    expected: z.string(),
    found: z
      .string()
      .optional()
      .meta({ description: "As JSON, the first 200 characters. Absent when the token has no such claim." }),
    holds: z.boolean(),
    hint: z.string().optional().meta({ description: "What is nearly right." }),
  })
  .meta({ id: "ExplainedCondition" });

export const ExplainedRule = z
  .object({
    id: z.string(),
    name: z.string(),
    matches: z.boolean(),
    token: ExplainedToken.optional(),
    conditions: z.array(ExplainedCondition).meta({ description: "First issuer and audience, then the rule's own." }),
  })
  .meta({ id: "ExplainedRule" });

export const Explanation = z
  .object({
    matches: z.boolean().meta({ description: "Whether any rule lets the bearer in." }),
    rules: z.array(ExplainedRule).meta({ description: "Those that match, then those that nearly do." }),
    grants: z.array(GrantView).meta({ description: "What the bearer would get: of all rules that match." }),
    maxTtlSeconds: z.int().optional(),
    deliverSecrets: z.boolean().optional(),
  })
  .meta({ id: "TrustExplanation" });

export type ExplainedCondition = z.output<typeof ExplainedCondition>;
export type ExplainedRule = z.output<typeof ExplainedRule>;
export type Explanation = z.output<typeof Explanation>;
