import { z } from "zod";
import { ProblemDocument, Timestamp } from "../../http/contract.js";

export const RoleAliasParams = z.object({
  alias: z.string().max(300).meta({
    description: "A role alias of the device authority's policy, or the id of a registry entry of type aws.",
    example: "ecr-pull",
  }),
});

const IotCredentials = z
  .object({
    accessKeyId: z.string(),
    secretAccessKey: z.string(),
    sessionToken: z.string(),
    expiration: Timestamp,
  })
  .meta({ id: "IotCredentials" });

export const IotCredentialsReply = z
  .object({ credentials: IotCredentials })
  .meta({ id: "IotCredentialsReply", description: "As the AWS IoT credentials provider answers." });

export const IotError = ProblemDocument.extend({
  message: z.string().meta({ description: "What the AWS IoT credentials provider says; `detail` says more." }),
}).meta({ id: "IotError" });
