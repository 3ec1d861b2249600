import { z } from "zod";

/** Amazon ECR's own names. */
export const EcrTokenRequest = z
  .object({
    registryIds: z
      .array(z.string())
      .max(10)
      .optional()
      .meta({ description: "Deprecated by AWS. Only the account of the registry that the keys are for is taken." }),
  })
  .meta({ id: "EcrTokenRequest" });

const EcrAuthorizationData = z
  .object({
    authorizationToken: z.string().meta({ description: "base64 of AWS:password" }),
    expiresAt: z.number().meta({ description: "Seconds since 1970." }),
    proxyEndpoint: z.string(),
  })
  .meta({ id: "EcrAuthorizationData" });

export const EcrTokenReply = z
  .object({ authorizationData: z.array(EcrAuthorizationData) })
  .meta({ id: "EcrTokenReply", description: "As Amazon ECR's GetAuthorizationToken answers." });

export const AwsErrorReply = z
  .object({ __type: z.string().meta({ description: "Name of the error." }), message: z.string() })
  .meta({ id: "AwsError", description: "An error as Amazon ECR sends it, to a client that speaks its protocol." });
