import { z } from "zod";
import { FactoryInPath, NextPageToken, Timestamp } from "../../../http/contract.js";
import { askedPermissions, heldPermissions, Label } from "../../contract.js";

export const OAuthClientRequest = z
  .strictObject({
    name: Label,
    ...askedPermissions,
    expiresAt: Timestamp.optional().meta({ description: "Absent: its maker's own expiry, else until withdrawn." }),
  })
  .meta({ id: "OAuthClientRequest" });

export const OAuthClientSecret = z.object({ id: z.uuid(), createdAt: Timestamp }).meta({ id: "OAuthClientSecret" });

const clientSecret = z.string().meta({ description: "The `client_secret`. Shown this once." });

export const CreatedOAuthClientSecret = OAuthClientSecret.extend({ clientSecret }).meta({
  id: "CreatedOAuthClientSecret",
});

export const OAuthClient = z
  .object({
    id: z.uuid().meta({ description: "The `client_id`." }),
    name: z.string(),
    ...heldPermissions,
    createdAt: Timestamp,
    createdBy: z.string().meta({ description: "Name of the credential that made it." }),
    expiresAt: Timestamp.optional(),
    secrets: z.array(OAuthClientSecret).meta({ description: "Those that work: one, or two during a rotation." }),
  })
  .meta({ id: "OAuthClient" });

export const CreatedOAuthClient = OAuthClient.extend({ clientSecret }).meta({ id: "CreatedOAuthClient" });

export const OAuthClientList = z
  .object({ items: z.array(OAuthClient), nextPageToken: NextPageToken })
  .meta({ id: "OAuthClientList" });

export const OAuthClientSecretParams = z.object({
  factory: FactoryInPath,
  id: z.uuid().meta({ description: "The `id` of the client." }),
  secretId: z.uuid().meta({ description: "The `id` of the secret, as the client shows it." }),
});
