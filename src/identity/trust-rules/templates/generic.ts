import { binds, type JudgedRule, type RuleTemplate, warning } from "./template.js";

/** Any other issuer: OpenID Connect Core 1.0, section 2. */
export const generic: RuleTemplate = {
  name: "generic",
  title: "Any other issuer",
  issuer: "The exact `iss` of its tokens. Its keys are found at <issuer>/.well-known/openid-configuration.",
  audience: "Ask the issuer for a token for this installation's URL.",
  claims: [
    { claim: "sub", type: "text", use: "identity", about: "Who it is. An issuer never gives one to somebody else." },
    { claim: "email_verified", type: "boolean", use: "narrowing", about: "Whether the issuer checked the address." },
    { claim: "email", type: "text", use: "name", about: "An address can be given to somebody else." },
    { claim: "preferred_username", type: "text", use: "name", about: "Can be changed by the user." },
    { claim: "name", type: "text", use: "name", about: "Can be changed by the user." },
  ],
  identities: [["sub"]],
  advice:
    'Add {"claim": "sub", "equals": "..."}, or another claim with `equals` that the issuer never gives to somebody else (an id, not a name): without it everybody whom the issuer knows is let in.',
  example: { issuer: "https://issuer.example.com", conditions: [{ claim: "sub", equals: "build-server-7" }] },
  knows: () => false,
  // As the tokens of GitHub, GitLab, Buildkite and Vercel have it, wherever they are served from: names, and no ids.
  isName: (claim, value) => claim === "sub" && /^(repo|project_path|organization|owner):/.test(value),
  lint: (rule: JudgedRule) =>
    binds(rule, "sub")
      ? []
      : [
          warning(
            "no-subject",
            "sub is the one claim that an issuer must never give to somebody else. Bind it too, unless this issuer documents the same of what is bound.",
          ),
        ],
};
