import { z } from "zod";
import { Grant, GrantView } from "../../core/grant.js";
import { hasNoControls, NextPageToken, noControlsRule, Timestamp } from "../../http/contract.js";
import { Label } from "../contract.js";

/** Rules of one factory. All of them are read to judge one token. */
export const maxRules = 100;
/** Characters of a pasted key set: a hundred keys. */
export const maxKeySetLength = 32 * 1024;
/** An ID token as it arrives, in characters. */
export const maxIdTokenLength = 16 * 1024;

const maxUrlLength = 500;
const maxValueLength = 300;

export const TemplateName = z
  .enum(["github-actions", "gitlab", "buildkite", "circleci", "kubernetes", "generic"])
  .meta({
    id: "TrustRuleTemplateName",
    description: "Whose tokens these are: it decides what a safe rule must bind. `generic` when absent.",
  });

/** Signatures that a rule can take: none that a public key could forge. RFC 7518 (3.1), RFC 8037 (3.1) */
export const SignatureAlgorithm = z
  .enum(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"])
  .meta({ id: "SignatureAlgorithm" });

/** Why a text cannot be the name of an issuer or of its keys; `undefined` when it can. */
function wrongWithUrl(text: string): string | undefined {
  if (!/^[\x21-\x7e]*$/.test(text)) {
    return "must be ASCII without blanks: write an international host name as xn--..., as the issuer itself does";
  }
  const url = text.startsWith("https://") && URL.canParse(text) ? new URL(text) : undefined;
  if (!url) return "must be an https:// URL, such as https://gitlab.example.com";
  if (url.username !== "" || url.password !== "" || text.includes("@")) return "must not hold a user or a password";
  if (text.includes("?") || text.includes("#")) return "must have no query and no fragment";
  // What a URL parser would rewrite (an upper-case host, `/../`, a host in octal) is not what a token will say.
  const asWritten = text.replace(/^(https:\/\/[^/]+):443(?=\/|$)/, "$1");
  if (url.href !== asWritten && url.href !== `${asWritten}/`) {
    return "must be written as parsers write a URL: the host in lower case, no /../, no default port";
  }
  return undefined;
}

const HttpsUrl = z
  .string()
  .max(maxUrlLength)
  .superRefine((text, context) => {
    const message = wrongWithUrl(text);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });

/** Compared with `iss` character by character: nothing is normalised, a slash at the end counts. RFC 7519 (4.1.1) */
const Issuer = HttpsUrl.meta({
  description: "The exact `iss`, character by character: a slash at its end counts.",
  example: "https://token.actions.githubusercontent.com",
});

const Text = z.string().min(1).max(maxValueLength).refine(hasNoControls, noControlsRule);

// A name that begins with "/" is a JSON pointer with steps that are not empty.
const isClaimName = (text: string): boolean => !text.startsWith("/") || /^(?:\/(?:[^~/]|~[01])+){1,8}$/.test(text);

// All rules of a factory are held against each token, before anybody knows who made it: what one glob costs is its
// stars times the claim's length.
const maxStars = 8;
const maxStarsOfRule = 16;
const starsIn = (text: string): number => (text.match(/\*+/g) ?? []).length;
const hasFewStars = (text: string): boolean => starsIn(text) <= maxStars;
const haveFewStars = (conditions: readonly { glob?: string | undefined }[]): boolean =>
  conditions.reduce((stars, { glob = "" }) => stars + starsIn(glob), 0) <= maxStarsOfRule;

const conditionFields = {
  claim: Text.refine(isClaimName, "must be a claim's name, or a JSON pointer such as /kubernetes.io/namespace").meta({
    description:
      "A claim by its name, whatever characters that has; or, beginning with `/`, a JSON pointer (RFC 6901) into claims that are objects.",
    example: "repository_id",
  }),
  equals: Text.optional().meta({
    description: 'This text. The boolean true is not the text "true", nor 1 the text "1".',
  }),
  equalsNumber: z.number().optional().meta({ description: "This number." }),
  equalsBoolean: z.boolean().optional().meta({ description: "This boolean." }),
  equalsAny: z.array(Text).min(1).max(100).optional().meta({ description: "One of these texts." }),
  equalsAnyNumber: z.array(z.number()).min(1).max(100).optional().meta({ description: "One of these numbers." }),
  glob: Text.refine(hasFewStars, `must have at most ${maxStars} stars`).optional().meta({
    description:
      "A text of this shape, from its first character to its last: `*` stands for any characters but `/`, `**` for any characters. Nothing else has a meaning of its own.",
    example: "refs/tags/v*",
  }),
};

const comparisons = ["equals", "equalsNumber", "equalsBoolean", "equalsAny", "equalsAnyNumber", "glob"] as const;

/** One flat object, so that client generators can read it; that it has exactly one comparison is checked here. */
export const TrustCondition = z
  .strictObject(conditionFields)
  .superRefine((condition, context) => {
    if (comparisons.filter((name) => condition[name] !== undefined).length === 1) return;
    context.addIssue({ code: "custom", message: `must have exactly one of ${comparisons.join(", ")}` });
  })
  .meta({ id: "TrustCondition", description: "What one claim must be." });

export const TrustConditionView = z.object(conditionFields).meta({ id: "TrustConditionView" });

const Audience = Text.meta({
  description: "The one exact `aud`. Choose a name of this installation's own, such as its URL.",
  example: "https://secrets.example.com",
});

const keyFields = {
  jwksUrl: HttpsUrl.optional().meta({
    description: "Where the issuer's keys are. Absent, and without `jwks`: where its discovery document says.",
  }),
  jwks: z.string().min(1).max(maxKeySetLength).optional().meta({
    description: "The issuer's public keys themselves, as JSON text (RFC 7517), for an issuer that cannot be reached.",
  }),
};

const Algorithms = z
  .array(SignatureAlgorithm)
  .min(1)
  .max(SignatureAlgorithm.options.length)
  .default(["RS256"])
  .meta({ description: "The signatures that are taken." });

const Conditions = z.array(TrustCondition).max(50).meta({ description: "All of them must hold." });

const maxTtl = z.int().min(60).max(86_400).optional().meta({
  description: "The longest life of what is handed out, in seconds. Of several matching rules the shortest counts.",
});

/** What the column `rule` holds. Strict: a member that a later release adds must not be overlooked by this one. */
export const RuleTerms = z.strictObject({
  // Not `.default`: a default beside a `$ref` takes an `allOf` in OpenAPI 3.0.
  template: TemplateName.optional().transform((name) => name ?? "generic"),
  audience: Audience,
  ...keyFields,
  algorithms: Algorithms,
  conditions: Conditions.min(1),
  grants: z.array(Grant).min(1).max(100).meta({ description: "What the bearer may pull: the union of its lines." }),
  maxTtlSeconds: maxTtl,
  // Written only where it is true, so that a release that does not know it can read every other rule.
  deliverSecrets: z.literal(true).optional().meta({
    description:
      "Its job's `/secrets` hold the values of secrets that are flagged `deliverToJobs`. Absent: they do not.",
  }),
  singleUse: z.boolean().default(false).meta({
    description: "Each token opens once: it must have a `jti`, which is remembered until it expires.",
  }),
});

// Of a rule without conditions the linter says more than that one is missing.
const NewConditions = Conditions.refine(
  haveFewStars,
  `must have at most ${maxStarsOfRule} stars in all globs together`,
);

export const TrustRuleRequest = RuleTerms.extend({ name: Label, issuer: Issuer, conditions: NewConditions })
  .superRefine(({ jwks, jwksUrl }, context) => {
    if (jwks === undefined || jwksUrl === undefined) return;
    context.addIssue({ code: "custom", path: ["jwks"], message: "must not stand beside jwksUrl: give one of the two" });
  })
  .meta({ id: "TrustRuleRequest" });

const Severity = z.enum(["error", "warning"]).meta({
  id: "TrustRuleFindingSeverity",
  description: "`error`: such a rule is not taken today.",
});

export const TrustRuleFinding = z
  .object({
    code: z.string().meta({ example: "any-branch" }),
    severity: Severity,
    at: z.string().meta({ description: "JSON pointer into the rule." }),
    message: z.string().meta({ description: "What may go wrong, and what to add." }),
  })
  .meta({ id: "TrustRuleFinding", description: "What the linter says of a rule." });

const termsShown = {
  template: TemplateName,
  audience: z.string(),
  algorithms: z.array(SignatureAlgorithm),
  conditions: z.array(TrustConditionView),
  grants: z.array(GrantView),
  maxTtlSeconds: z.int().optional(),
  deliverSecrets: z.boolean().optional(),
  singleUse: z.boolean(),
};

export const TrustRuleView = z
  .object({
    id: z.uuid(),
    name: z.string(),
    issuer: z.string(),
    ...termsShown,
    jwksUrl: z.string().optional(),
    jwks: z.string().optional(),
    version: z.int().meta({ description: "Also its `ETag`." }),
    createdAt: Timestamp,
    createdBy: z.string().meta({ description: "Name of the credential that made it." }),
    updatedAt: Timestamp,
    findings: z.array(TrustRuleFinding),
  })
  .meta({ id: "TrustRule" });

export const TrustRuleList = z
  .object({ items: z.array(TrustRuleView), nextPageToken: NextPageToken })
  .meta({ id: "TrustRuleList" });

export type TemplateName = z.output<typeof TemplateName>;
export type SignatureAlgorithm = z.output<typeof SignatureAlgorithm>;
export type TrustCondition = z.output<typeof TrustCondition>;
export type TrustRuleRequest = z.output<typeof TrustRuleRequest>;
export type TrustRuleFinding = z.output<typeof TrustRuleFinding>;

/** A rule as it judges tokens. */
export type TrustRule = z.output<typeof RuleTerms> & { id: string; name: string; version: number; issuer: string };
