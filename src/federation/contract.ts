import { z } from "zod";
import { RegistryTypeName } from "../factory-config/entry-contract.js";

/** OpenID Connect Discovery 1.0, section 3. What only a person's browser would need is not there. */
export const FederationMetadata = z
  .object({
    issuer: z.string(),
    jwks_uri: z.string(),
    response_types_supported: z.array(z.string()),
    subject_types_supported: z.array(z.string()),
    id_token_signing_alg_values_supported: z.array(z.string()),
    scopes_supported: z.array(z.string()),
    claims_supported: z.array(z.string()),
  })
  .meta({ id: "FederationMetadata", description: "What a cloud fetches before it takes what this factory signs." });

export const FederationKey = z
  .object({
    kty: z.string(),
    n: z.string(),
    e: z.string(),
    kid: z.string(),
    use: z.string(),
    alg: z.string(),
  })
  .meta({ id: "FederationKey", description: "RFC 7517; RFC 7518, section 6.3." });

export const FederationKeySet = z.object({ keys: z.array(FederationKey) }).meta({ id: "FederationKeySet" });

/** In the path of what clouds fetch. Not held to the form of an id: one that no factory has is not found. */
export const FederationParams = z.object({
  factoryId: z.string().meta({ description: "The id of the factory, which never changes." }),
});

const TrustStep = z
  .object({
    title: z.string(),
    format: z.enum(["sh", "json"]).meta({ id: "TrustStepFormat" }),
    text: z.string().meta({ description: "To paste. Words in capitals are to be replaced." }),
  })
  .meta({ id: "TrustStep" });

export const FederationEntry = z
  .object({
    id: z.string(),
    type: RegistryTypeName,
    keyless: z.boolean().meta({ description: "False while a secret opens it." }),
    principal: z
      .string()
      .optional()
      .meta({ description: "The role, client id, service account or provider it names." }),
    subject: z.string(),
    audience: z.string(),
    trust: z.array(TrustStep).meta({ description: "How to make the cloud trust this entry, step by step." }),
  })
  .meta({ id: "FederationEntry" });

export const Federation = z
  .object({
    issuer: z.string(),
    metadataUrl: z.string(),
    jwksUri: z.string(),
    remarks: z.array(z.string()).meta({ description: "What may keep a cloud from using this issuer." }),
    entries: z.array(FederationEntry).meta({ description: "The entries of the types aws, azure and gar." }),
  })
  .meta({ id: "Federation", description: "What clouds have to know to trust the entries of this factory." });

export type FederationEntry = z.output<typeof FederationEntry>;
export type TrustStep = z.output<typeof TrustStep>;
