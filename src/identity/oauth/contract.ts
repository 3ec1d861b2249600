import { z } from "zod";
import { FactoryName, ProblemDocument } from "../../http/contract.js";

const text = (maxLength: number) => z.string().max(maxLength);

/** The form of the token endpoint. What it does not know it ignores: RFC 6749, section 3.2. */
export const TokenRequest = z
  .object({
    grant_type: text(200).optional().meta({
      description:
        "`client_credentials`, `refresh_token`, or `urn:ietf:params:oauth:grant-type:token-exchange` for an ID token.",
      example: "client_credentials",
    }),
    client_id: text(200).optional().meta({ description: "Unless HTTP Basic presents the client." }),
    client_secret: text(200).optional(),
    refresh_token: text(200).optional(),
    scope: text(2_000)
      .optional()
      .meta({ description: "Permissions, with a space between. Absent: all of the client." }),
    factory: text(200).optional().meta({ description: "Whose trust rules judge the `subject_token`." }),
    subject_token: text(16_384).optional().meta({ description: "The ID token to exchange (RFC 8693)." }),
    subject_token_type: text(200)
      .optional()
      .meta({ description: "`urn:ietf:params:oauth:token-type:id_token`, or `...:jwt`." }),
    requested_token_type: text(200)
      .optional()
      .meta({ description: "Only `urn:ietf:params:oauth:token-type:access_token`." }),
    actor_token: text(16_384).optional().meta({ description: "Not supported." }),
  })
  .meta({ id: "TokenRequest" });

export const TokenReply = z
  .object({
    token_type: z.literal("Bearer"),
    access_token: z.string(),
    expires_in: z.int().meta({ description: "Seconds; a minute less than it lives." }),
    refresh_token: z.string().optional().meta({ description: "Replaces the one that was presented." }),
    scope: z.string().meta({ description: "The permissions, with a space between." }),
    issued_token_type: z.string().optional().meta({ description: "Of an exchange." }),
    orgs: z.array(z.object({ name: FactoryName }).meta({ id: "TokenOrganisation" })).meta({
      description: "The one factory, where fioctl looks for it.",
    }),
  })
  .meta({ id: "TokenReply" });

export const OAuthError = ProblemDocument.extend({
  error: z.string().meta({ description: "As RFC 6749, section 5.2, names it." }),
  error_description: z.string().meta({ description: "The same sentence as `detail`." }),
}).meta({ id: "OAuthError", description: "RFC 6749, section 5.2, with the members of a problem beside." });

export const PublicKey = z
  .object({
    kty: z.string(),
    crv: z.string(),
    x: z.string(),
    y: z.string(),
    kid: z.string(),
    use: z.string(),
    alg: z.string(),
  })
  .meta({ id: "PublicKey", description: "RFC 7517." });

export const PublicKeySet = z.object({ keys: z.array(PublicKey) }).meta({ id: "PublicKeySet" });

/** RFC 8414, section 2. */
export const AuthorizationServer = z
  .object({
    issuer: z.string(),
    token_endpoint: z.string(),
    jwks_uri: z.string(),
    scopes_supported: z.array(z.string()),
    response_types_supported: z.array(z.string()),
    grant_types_supported: z.array(z.string()),
    token_endpoint_auth_methods_supported: z.array(z.string()),
  })
  .meta({ id: "AuthorizationServer" });
